//! The conformance suite on SQLite.

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
