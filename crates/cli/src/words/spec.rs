//! What is wrong with a job file, as a compiler shows it, in the reader's language.

use dayan_spec::SpecErrors;

use super::Lang;

/// All errors of a file.
pub fn render(_lang: Lang, file: &str, errors: &SpecErrors) -> String {
    errors.render(file)
}
