//! One test for each bug that was found, named by what went wrong.
