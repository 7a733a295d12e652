//! Nothing: this room holds the tests of the house as a whole, in `tests/`. They start the real
//! program and read what a person would read, or hold the rules of the repository itself.
