//! Names of files with `%` and a letter, as `--output` takes them, into a word of a shell that is
//! filled in where the task runs. Must not know who reads the file.

use std::fmt::Write as _;

use super::launch::quoted;

/// Where a stream goes besides the exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// A file of the working folder: a word of a shell.
    File(String),
    /// `/dev/null`: not to the exchange either.
    Nowhere,
}

/// Why a pattern is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PatternError {
    /// A letter that stands for nothing.
    Letter(char),
    /// It leaves the task's folder.
    Outside,
    /// Nothing there.
    Empty,
}

/// The widest that a number is filled with zeros, as Slurm has it.
const WIDTH_MAX: usize = 10;

/// From a pattern. A backslash before it keeps `%` as it is, as with Slurm.
pub(super) fn target(pattern: &str, user: &str) -> Result<Target, PatternError> {
    if pattern.trim().is_empty() {
        return Err(PatternError::Empty);
    }
    if pattern == "/dev/null" {
        return Ok(Target::Nowhere);
    }
    if pattern.starts_with('/') || pattern.split('/').any(|part| part == "..") {
        return Err(PatternError::Outside);
    }
    if pattern.contains('\\') {
        return Ok(Target::File(quoted(&pattern.replace('\\', ""))));
    }
    let mut word = String::new();
    let mut literal = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            literal.push(c);
            continue;
        }
        let mut width = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            width.push(digit);
        }
        let Some(letter) = chars.next() else { return Err(PatternError::Letter('%')) };
        let value = match letter {
            '%' => {
                literal.push('%');
                continue;
            }
            'u' => {
                literal.push_str(user);
                continue;
            }
            'j' | 'J' => "$SLURM_JOB_ID",
            'A' => "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}",
            'a' => "${SLURM_ARRAY_TASK_ID:-0}",
            'x' => "$SLURM_JOB_NAME",
            'N' => "$SLURMD_NODENAME",
            'n' => "$DAYAN_NODE_RANK",
            's' => "batch",
            't' => "0",
            other => return Err(PatternError::Letter(other)),
        };
        if !literal.is_empty() {
            word.push_str(&quoted(&std::mem::take(&mut literal)));
        }
        let width =
            width.parse().unwrap_or(WIDTH_MAX).min(WIDTH_MAX) * usize::from(!width.is_empty());
        // Writing to a text cannot fail.
        if width > 0 && letter == 'a' {
            let _ = write!(word, "\"$(printf %0{width}d \"{value}\")\"");
        } else {
            let _ = write!(word, "\"{value}\"");
        }
    }
    if !literal.is_empty() {
        word.push_str(&quoted(&literal));
    }
    Ok(Target::File(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, expect: Result<&str, PatternError>| {
            let got = target(pattern, "li");
            let file = |target: Target| match target {
                Target::File(word) => word,
                Target::Nowhere => "nowhere".to_owned(),
            };
            assert_eq!(got.map(file), expect.map(str::to_owned), "{pattern}");
        };
        check("out.txt", Ok("out.txt"));
        check("slurm-%j.out", Ok("slurm-\"$SLURM_JOB_ID\".out"));
        check(
            "logs/%x_%A_%a.log",
            Ok(
                "logs/\"$SLURM_JOB_NAME\"_\"${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}\"_\"${SLURM_ARRAY_TASK_ID:-0}\".log",
            ),
        );
        check("%3a", Ok("\"$(printf %03d \"${SLURM_ARRAY_TASK_ID:-0}\")\""));
        check("%u-%N", Ok("li-\"$SLURMD_NODENAME\""));
        check("100%%", Ok("100%"));
        check("a b'%j", Ok(r#"'a b'\'''"$SLURM_JOB_ID""#));
        check("a\\%j", Ok("a%j"));
        check("/dev/null", Ok("nowhere"));
        check("/home/li/%j.out", Err(PatternError::Outside));
        check("../%j.out", Err(PatternError::Outside));
        check("%q", Err(PatternError::Letter('q')));
        check("a%", Err(PatternError::Letter('%')));
        check(" ", Err(PatternError::Empty));
    }
}
