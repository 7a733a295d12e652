//! The conformance suite on SQLite.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[macro_use]
mod support;

macro_rules! on_sqlite {
    ($case:ident) => {
        #[test]
        fn $case() {
            support::suite::$case(&support::Folders::new());
        }
    };
}
for_each_case!(on_sqlite);
