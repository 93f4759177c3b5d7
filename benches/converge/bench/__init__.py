"""The benchmark of `stead converge` against its peers; `../README.md` explains it. Standard library only."""
