// The way in from Python past torch's dispatcher, which takes a tenth of a small call to ask who is to serve it.
// Built only where Python's headers are there.
#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/record_function.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/python_variable.h>

#include "operator.h"

namespace {

// Other threads of Python may run while this lives.
struct Released {
    PyThreadState *state = PyEval_SaveThread();
    ~Released() { PyEval_RestoreThread(state); }
};

// Whether somebody follows the operators of this thread, and must see one: a mode, a tracer, a profiler.
bool followed() {
    return c10::impl::dispatch_mode_enabled() || at::impl::torch_function_mode_enabled() ||
           c10::impl::tls_is_dispatch_key_included(c10::DispatchKey::Tracer) ||
           at::getStepCallbacksUnlessEmpty(at::RecordScope::FUNCTION).has_value();
}

// Whether the arguments are those of cross_entropy, with tensors that are no subclass's.
bool plain(PyObject *const *given, Py_ssize_t count) {
    return count == 6 && THPVariable_CheckExact(given[0]) && THPVariable_CheckExact(given[1]) &&
           (given[2] == Py_None || THPVariable_CheckExact(given[2])) && PyLong_CheckExact(given[3]) &&
           PyUnicode_CheckExact(given[4]) && PyFloat_CheckExact(given[5]);
}

// cross_entropy(logits, target, weight, ignore_index, reduction, label_smoothing), by position; None for a call that the
// operator is to be asked for.
PyObject *direct(PyObject *, PyObject *const *given, Py_ssize_t count) {
    HANDLE_TH_ERRORS
    if (!plain(given, count) || followed()) Py_RETURN_NONE;
    int beyond = 0;
    int64_t ignore_index = PyLong_AsLongLongAndOverflow(given[3], &beyond);
    Py_ssize_t length = 0;
    const char *reduction = PyUnicode_AsUTF8AndSize(given[4], &length);
    if (beyond || !reduction) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    std::optional<at::Tensor> weight;
    if (given[2] != Py_None) weight = THPVariable_Unpack(given[2]);
    at::Tensor found;
    {
        Released others_may_run;
        found = cross_entropy(
            THPVariable_Unpack(given[0]), THPVariable_Unpack(given[1]), weight, ignore_index,
            {reduction, (size_t)length}, PyFloat_AS_DOUBLE(given[5])
        );
    }
    if (!found.defined()) Py_RETURN_NONE;
    return THPVariable_Wrap(std::move(found));
    END_HANDLE_TH_ERRORS
}

PyMethodDef method = {"cross_entropy", (PyCFunction)(void *)&direct, METH_FASTCALL, nullptr};

}  // namespace

extern "C" __attribute__((visibility("default"))) PyObject *entry() { return PyCFunction_New(&method, nullptr); }
