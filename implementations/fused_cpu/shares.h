// How groups of rows are divided among threads: evenly, and whoever is done takes of what others have not begun. A core
// whose neighbour is busy computes at two thirds of its speed; all would wait for it. Included by kernel.cpp.
#pragma once
#include <atomic>
#include <vector>

struct Groups {
    int64_t first, last;
};

class Shares {
    struct Share {
        std::atomic<int64_t> next;
        int64_t end;
        int64_t apart[6];  // each is written by its own thread, which no other's writing should hold up
    };
    std::vector<Share> shares;
    int64_t chunk;

public:
    // `least` groups are worth asking for.
    Shares(int64_t groups, int64_t threads, int64_t least)
        : shares(threads), chunk(threads < 2 ? groups : std::max(groups / (16 * threads), least)) {
        for (int64_t i = 0; i < threads; i++)
            shares[i].next = groups * i / threads, shares[i].end = groups * (i + 1) / threads;
    }

    // Does what is left, at most `chunk` groups at a time, and what is `thread`'s own first.
    template <typename Work> void work(int64_t thread, const Work &work) {
        int64_t threads = shares.size(), first;
        for (int64_t i = 0; i < threads; i++) {
            Share &share = shares[(thread + i) % threads];
            while ((first = share.next.fetch_add(chunk, std::memory_order_relaxed)) < share.end)
                work({first, std::min(first + chunk, share.end)});
        }
    }
};
