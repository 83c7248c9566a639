"""Claims of tutorials as data: read, tested in a worker, and told with the evidence."""
