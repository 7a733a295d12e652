//! The codes of what can be wrong with a job file, each with its English text. A code never
//! changes its meaning; texts may. Words in braces are arguments of the error.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $message:literal, [$($help:literal),*];)*) => {
        /// Which rule a job file breaks.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The code as scripts see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }
            /// The English message.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message),* }
            }
            /// English advice; the first one whose arguments are all there is shown.
            pub const fn help(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($help),*]),* }
            }
        }
    };
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

codes! {
    /// More bytes than are read.
    FileTooLarge = "spec.file_too_large", "the job file has {bytes} bytes; at most {max} are read",
        ["put long scripts and data into files of their own and name them under `inputs`"];
    /// Nothing in it.
    Empty = "spec.empty", "the job file is empty",
        ["a job needs at least `version`, `name`, `type`, `project` and `run`"];
    /// Not well-formed YAML.
    YamlSyntax = "spec.yaml_syntax", "this is not well-formed YAML: {detail}",
        ["check the indentation, and put a value with special characters into quotes"];
    /// A tab where spaces indent.
    YamlTab = "spec.yaml_tab", "the line is indented with a tab", ["indent with spaces"];
    /// A colon where no key is.
    YamlColon = "spec.yaml_colon", "a colon with a space after it makes a key, and no key can stand here",
        ["put the whole value into quotes, or check the indentation"];
    /// A bracket without its end.
    YamlBracket = "spec.yaml_bracket", "a bracket is not closed, or a comma is missing before this",
        ["lists are `[a, b]`, keys with values are `{{a: 1, b: 2}}`"];
    /// A quote without its end.
    YamlQuote = "spec.yaml_quote", "the quote that begins here is never closed",
        ["close it, or write the quote twice where it belongs to the text"];
    /// The file is not keys with values.
    NotAMap = "spec.not_a_map", "a job file is keys with values, one to a line",
        ["it begins with `version: 1`"];
    /// Not well-formed JSON.
    JsonSyntax = "spec.json_syntax", "this is not well-formed JSON: {detail}", [];
    /// Nested too deeply.
    TooDeep = "spec.too_deep", "lists and maps are nested more than {max} deep", [];
    /// Too many keys and values.
    TooManyValues = "spec.too_many_values", "there are more than {max} keys and values",
        ["an `array` stands for many tasks that differ by a number"];
    /// An anchor or an alias.
    Anchor = "spec.anchor", "anchors (`&`) and aliases (`*`) are not read in a job file",
        ["write the value out; a text that begins with `&` or `*` goes into quotes"];
    /// A type tag.
    Tag = "spec.tag", "type tags (`!`) are not read in a job file",
        ["remove the tag; a text that begins with `!` goes into quotes"];
    /// A second document.
    ManyDocuments = "spec.many_documents", "a second document begins here; a job file is one",
        ["submit a file for each job"];
    /// A list or map as a key.
    KeyNotText = "spec.key_not_text", "a key must be a word",
        ["a value that begins with `{{` or `[` goes into quotes"];
    /// The same key again.
    DuplicateKey = "spec.duplicate_key", "`{key}` is given twice, first on line {first_line}",
        ["keep one of the two"];
    /// A key that older YAML reads as true or false.
    BooleanKey = "spec.boolean_key", "older YAML tools read the key `{key}` as true or false",
        ["put it into quotes: `\"{quotable}\"`", "no key of a job file has that name"];
    /// A key that is not in the table.
    UnknownKey = "spec.unknown_key", "unknown key `{key}`",
        ["write `{nested}`", "`{key}` belongs under `{home}`", "`{top}` belongs at the top of the file, not under another key",
         "did you mean `{suggestion}`?", "the keys here are {keys}"];
    /// A key that must be there.
    MissingKey = "spec.missing_key", "`{key}` is missing", ["add `{key}: {example}`", "add `{key}`"];
    /// A key with nothing behind it.
    NoValue = "spec.no_value", "`{key}` has no value", ["write a value after the colon, or remove the key"];
    /// Not a text.
    ExpectedText = "spec.expected_text", "`{key}` takes one value, not a list or a map",
        ["write each one like `{element}`", "write it like `{key}: {example}`"];
    /// Not a list.
    ExpectedList = "spec.expected_list", "`{key}` takes a list", ["write it like `{key}: [{example}]`", "write it like `{key}: [...]`"];
    /// Not a map.
    ExpectedMap = "spec.expected_map", "`{key}` takes keys and values",
        ["write it like `{key}: {{{first}: {value}}}`; its keys are {keys}", "its keys are {keys}",
         "write it like `{key}: {{name: value}}`"];
    /// Not true or false.
    ExpectedTrueFalse = "spec.expected_true_false", "`{key}` takes true or false, not `{value}`",
        ["write `{suggestion}`, without quotes", "write `true` or `false`, without quotes"];
    /// Not a whole number.
    ExpectedWhole = "spec.expected_whole", "`{key}` takes a whole number",
        ["write a number from {min} to {max}, without quotes"];
    /// A number out of its bounds.
    OutOfBounds = "spec.out_of_bounds", "`{value}` is out of bounds: `{key}` is from {min} to {max}", [];
    /// Not one of the words.
    UnknownChoice = "spec.unknown_choice", "`{value}` is not a value of `{key}`",
        ["did you mean `{suggestion}`?", "it is one of {choices}"];
    /// Not a number with a unit.
    BadQuantity = "spec.bad_quantity", "`{value}` is not understood",
        ["write it like `{example}`; the units are {units}", "write it like `{example}`"];
    /// A number without its unit.
    MissingUnit = "spec.missing_unit", "`{value}` has no unit",
        ["write it like `{example}`; the units are {units}"];
    /// Finer than the smallest step.
    TooFine = "spec.too_fine", "`{value}` is finer than can be kept", [];
    /// Larger than the limit.
    TooLarge = "spec.too_large", "`{value}` is too large", ["at most {max} can be asked for", "ask for less: no machine has so much"];
    /// Nothing asked for.
    Zero = "spec.zero", "`{key}` must be more than zero", ["left out, it is {default}"];
    /// Less than nothing.
    Negative = "spec.negative", "`{value}` is negative", [];
    /// A range whose end is before its start.
    RangeBackwards = "spec.range_backwards", "the range `{value}` ends before it starts",
        ["write the smaller value first"];
    /// A text of too many characters.
    TooLong = "spec.too_long", "`{key}` has {length} characters; at most {max} are allowed", [];
    /// A list of too many entries.
    TooMany = "spec.too_many", "`{key}` has {count} entries; at most {max} are allowed", [];
    /// A text or list without content.
    EmptyValue = "spec.empty_value", "`{key}` is empty", ["remove the key, or give it a value"];
    /// A control character inside a text.
    ControlCharacter = "spec.control_character", "`{key}` contains the control character {character}", [];
    /// Spaces around a name, which nobody would see.
    FramedBySpace = "spec.framed_by_space", "`{key}` begins or ends with a space", ["remove it"];
    /// The same entry again.
    Repeated = "spec.repeated", "`{value}` is listed twice", ["keep one of the two"];

    /// A version that is not read here.
    UnknownVersion = "spec.unknown_version", "version `{value}` of the job file is not known here",
        ["write `version: 1`"];
    /// Not a job name.
    BadName = "spec.bad_name", "`{value}` cannot be a job's name",
        ["letters, digits, `.`, `_` and `-`, at most {max}, beginning with a letter or a digit"];
    /// Not the name of a container image.
    BadImage = "spec.bad_image", "`{value}` is not the name of an image",
        ["write it like `registry.local/blender:4`"];
    /// Not a project.
    BadProject = "spec.bad_project", "`{value}` is not a project",
        ["write organisation and project in lower case, like `studio-a/film-3`"];
    /// Not an array range.
    BadArrayRange = "spec.bad_array_range", "`{value}` is not an array range",
        ["write it like `1001-1240`, or `0-15:2` for every second one"];
    /// Not an accelerator.
    BadAccelerator = "spec.bad_accelerator", "`{value}` is not an accelerator with a count",
        ["write it like `H100:8`, `any-nvidia:1` or, for a share of one card, `H100:0.25`"];
    /// Not a licence.
    BadLicense = "spec.bad_license", "`{value}` is not a licence with a count",
        ["write it like `ansys:2`"];
    /// Not an address of data.
    BadLocation = "spec.bad_location", "`{value}` is not an address of data",
        ["write it like `dayan://studio-a/film-3/scene/`, `./scene/`, `s3://bucket/key`, `https://host/file`, `data://scene/` or `file:///folder/`"];
    /// Not a pattern.
    BadPattern = "spec.bad_pattern", "`{value}` is not a pattern: {detail}",
        ["`*` and `?` stand for characters of one name, `[ab]` for one of them, `**` alone for folders"];
    /// Not a digest.
    BadSha256 = "spec.bad_sha256", "`{value}` is not a SHA-256 digest",
        ["write the 64 lower-case hexadecimal digits that `sha256sum` prints"];
    /// Not the name of a secret.
    BadSecretName = "spec.bad_secret_name", "`{value}` cannot be the name of a secret",
        ["letters, digits, `-`, `_` and `.`, at most 64; `dayan secret ls` lists those of the project"];
    /// A path that is absolute or climbs.
    PathEscapes = "spec.path_escapes", "the path `{value}` leaves its folder",
        ["write a path relative to the folder, without `..`"];
    /// Not a provider.
    BadProvider = "spec.bad_provider", "`{value}` names no provider",
        ["write the provider's name, or at least ten characters of its id after `prov_`"];
    /// Not a place.
    BadPlace = "spec.bad_place", "`{value}` is not a place", ["write it like `city:Guiyang`"];
    /// Not a path of a web address.
    BadHttpPath = "spec.bad_http_path", "`{value}` is not the path of an address",
        ["write it like `/healthz`"];
    /// Nobody can be told there.
    BadContact = "spec.bad_contact", "`{value}` is not an address that can be notified",
        ["write it like `https://host/hook` or `mailto:name@host`"];
    /// Not a cause of a retry.
    BadRetryCause = "spec.bad_retry_cause", "`{value}` is not a cause for a retry",
        ["did you mean `{suggestion}`?", "it is one of {choices}, or an exit status like `exit:75`"];
    /// Not a job to wait for.
    BadDependency = "spec.bad_dependency", "`{value}` is not a job to wait for",
        ["write its id or name, and if need be what must have happened: `shot-119:ended` ({choices})"];
    /// Not money.
    BadMoney = "spec.bad_money", "`{value}` is not an amount of money", ["write it like `60.00 CNY`"];
    /// Not a price for an hour.
    BadUnitPrice = "spec.bad_unit_price", "`{value}` is not a price for an hour",
        ["write it like `9.50 CNY/hour`"];
    /// Not a moment.
    BadTime = "spec.bad_time", "`{value}` is not a time", ["write it like `2026-11-30T18:00:00+08:00`"];
    /// Not a cron line.
    BadCron = "spec.bad_cron", "`{value}` is not a schedule: {field} is wrong",
        ["five fields: minute, hour, day of month, month, day of week, like `20 0,6,12,18 * * *`"];
    /// Not a time zone.
    BadTimezone = "spec.bad_timezone", "`{value}` is not the name of a time zone",
        ["write it like `Asia/Shanghai` or `UTC`"];
    /// Not the name of an environment variable.
    BadEnvName = "spec.bad_env_name", "`{value}` cannot be the name of an environment variable",
        ["letters, digits and `_`, not beginning with a digit"];
    /// A variable that the exchange sets.
    ReservedEnvName = "spec.reserved_env_name", "`{value}` is set by the exchange",
        ["variables that begin with `DAYAN_` cannot be given"];
    /// Too much environment.
    EnvTooLarge = "spec.env_too_large", "the variables have {bytes} bytes together; at most {max} are allowed",
        ["put long values into a file and name it under `inputs`"];

    /// More tasks than a job may have.
    TooManyTasks = "spec.too_many_tasks", "the array has {tasks} tasks; at most {max} are allowed",
        ["`chunk` puts several elements into one task"];
    /// An array of gangs.
    ArrayAndGang = "spec.array_and_gang", "a job is an `array` or a `gang`, not both",
        ["submit a job for each gang"];
    /// A gang starts with more members than it has.
    GangMin = "spec.gang_min", "a gang of {nodes} cannot start with {value}",
        ["let `min` be at most `nodes`"];
    /// Neither a command nor steps.
    NothingToRun = "spec.nothing_to_run", "the job says nothing to run",
        ["add `run: ./program`, or `steps`"];
    /// A key that a job in steps says in its steps.
    NotWithSteps = "spec.not_with_steps", "`{key}` does not go with `steps`",
        ["say it in the steps, or remove `steps`"];
    /// Mounts without a container.
    MountsNeedImage = "spec.mounts_need_image", "`mounts` needs `image` or `steps`: the host's own programs see the host's folders",
        ["add `image`, or name the paths inside the task's folder"];
    /// Not a place for a mount.
    BadMountPoint = "spec.bad_mount_point", "nothing can be mounted at `{value}`",
        ["write an absolute path below the root without `..`, outside of /proc, /sys, /dev and /work"];
    /// Not an absolute path.
    BadAbsolutePath = "spec.bad_absolute_path", "`{value}` is no absolute path",
        ["write it like `/data/out.txt`"];
    /// Two mounts at one place.
    MountedTwice = "spec.mounted_twice", "two mounts are at `{value}`", ["remove one of them"];
    /// A service that does not say what it serves.
    ServiceMissing = "spec.service_missing", "a job of type `service` needs `service`",
        ["add `service: {{port: 8000}}`"];
    /// A key that goes with the other type.
    NotWithType = "spec.not_with_type", "`{key}` does not go with type `{type}`", ["remove it, or change `type`"];
    /// `launch: head` without a gang.
    HeadNeedsGang = "spec.head_needs_gang", "`launch: head` needs a `gang`",
        ["add `gang: {{nodes: 2}}`, or remove `launch`"];
    /// Resume from what is never written.
    ResumeNeedsCheckpoint = "spec.resume_needs_checkpoint", "`resume: checkpoint` needs a `checkpoint`",
        ["add `checkpoint: {{path: ckpt}}`"];
    /// Options of `sbatch` that are none.
    BadSlurmExtra = "spec.bad_slurm_extra", "`{value}` is not a list of options of `sbatch`",
        ["write them whole and with an equals sign, such as `extra: --nice=10 --exclusive`"];
    /// Reserved without a contract.
    ContractMissing = "spec.contract_missing", "mode `reserved` needs the `contract` it is reserved under",
        ["add `contract` to `market`"];
    /// A contract that is never used.
    ContractUnused = "spec.contract_unused", "a `contract` goes with mode `reserved`, not `{mode}`",
        ["write `mode: reserved`, or remove `contract`"];
    /// A fallback that is no other way.
    BadFallback = "spec.bad_fallback", "`{fallback}` cannot stand in for `{mode}`",
        ["`fallback` is another mode than `mode`, and not `reserved`"];
    /// Amounts in two currencies.
    TwoCurrencies = "spec.two_currencies", "`{key}` is in {currency}, an earlier amount in {other}",
        ["write all amounts of a job in one currency"];
    /// Fewer at most than at least.
    ReplicasBackwards = "spec.replicas_backwards", "`min` is {min} and `max` only {max}", [];
    /// Two ends or none.
    OneFinish = "spec.one_finish", "a deadline has either `finish_within` or `finish_by`",
        ["write one of the two, like `finish_within: 100m`"];
    /// A promise that the job's own limit breaks.
    DeadlineTooShort = "spec.deadline_too_short",
        "a hard deadline of {within} cannot be promised to tasks that may run {time}",
        ["shorten `resources.time`, or write `kind: soft`"];
    /// One end for many runs.
    FinishByRepeats = "spec.finish_by_repeats", "the runs of a `schedule` cannot all finish by one moment",
        ["write `finish_within`: it counts from when each run is due"];
    /// A preference without its deadline.
    PreferNeedsDeadline = "spec.prefer_needs_deadline", "`prefer: [deadline]` needs a `deadline`",
        ["add `deadline: {{finish_within: 2h}}`, or remove it from `prefer`"];
    /// Both let in and left out.
    AllowedAndDenied = "spec.allowed_and_denied", "provider `{value}` is both allowed and denied",
        ["keep one of the two"];
    /// A password where everybody who may see the job reads it.
    SecretInAddress = "spec.secret_in_address", "an address on the web carries a name or a password, which whoever may see the job would read",
        ["set it with `dayan secret set PROJECT NAME`, and name it with `secret: NAME` beside the address without it"];
    /// A way to resume that is never used.
    ResumeWithoutRetry = "spec.resume_without_retry", "`resume` has no use with `max: 0`",
        ["raise `max`, or remove `resume`"];

    /// A script that does not say what reads it.
    SbatchNoInterpreter = "spec.sbatch_no_interpreter", "the first line of a script must be `#!` and an interpreter",
        ["begin it with `#!/bin/bash`"];
    /// A script written on another system.
    SbatchDosLines = "spec.sbatch_dos_lines", "the script has line ends of DOS, which no interpreter reads",
        ["convert it, for example with `dos2unix`"];
    /// Not an option of `sbatch`.
    SbatchUnknownOption = "spec.sbatch_unknown_option", "`{option}` is not an option of sbatch",
        ["did you mean `{suggestion}`?", "it could be {choices}", "keys of the job file stand on lines like `#DAYAN key: value`"];
    /// An option without its value.
    SbatchValueMissing = "spec.sbatch_value_missing", "`{option}` needs a value", ["write it like `{option} VALUE`"];
    /// A value for an option that has none.
    SbatchTakesNoValue = "spec.sbatch_takes_no_value", "`{option}` takes no value", ["write `{option}` alone"];
    /// A word between options.
    SbatchStrayWord = "spec.sbatch_stray_word", "`{word}` is neither an option nor the value of one",
        ["a value with spaces goes into quotes; what follows a `#` is a comment"];
    /// A quote without its end.
    SbatchOpenQuote = "spec.sbatch_open_quote", "the quote that begins here is not closed on its line", ["close it"];
    /// An option that is known and cannot be kept.
    SbatchNotOffered = "spec.sbatch_not_offered", "`{option}` is not offered: {why}", [];
    /// Not a value of the option.
    SbatchBadValue = "spec.sbatch_bad_value", "`{value}` is not a value of `{option}`", ["write it like `{example}`"];
    /// Nobody pays.
    SbatchNoProject = "spec.sbatch_no_project", "the script does not say which project pays",
        ["add `#SBATCH --account=ORGANISATION/PROJECT`, or set DAYAN_PROJECT"];
    /// A command beside the script.
    SbatchRun = "spec.sbatch_run", "`run` has no place in a script: the script is what runs", ["remove the line"];
    /// Several elements for a script that knows one.
    SbatchChunk = "spec.sbatch_chunk", "a script runs for one element of its array", ["remove `chunk`"];
}
