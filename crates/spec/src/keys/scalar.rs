//! The kinds of single values: a pattern for the schema, an example for help. The pattern is what
//! can be said without arithmetic; the reader of the type is stricter.

use crate::limits::{
    NAME_CHARS_MAX, PATH_CHARS_MAX, PROJECT_CHARS_MAX, RUN_CHARS_MAX, TEXT_CHARS_MAX,
};

/// A kind of single value.
pub(crate) struct Scalar {
    /// What the reference calls it.
    pub(crate) title: &'static str,
    /// ECMA 262 with Unicode, anchored.
    pub(crate) pattern: &'static str,
    pub(crate) example: &'static str,
    pub(crate) units: Option<&'static str>,
    pub(crate) chars_max: usize,
    pub(crate) number_too: NumberToo,
}

/// May the value stand there as a bare number?
pub(crate) enum NumberToo {
    /// It is a number, more than zero.
    Amount,
    /// It is a text, and one of digits is read as it is written.
    Label,
    /// A number never is one.
    No,
}

macro_rules! scalars {
    ($($name:ident: $title:literal, $pattern:literal, $example:literal, $units:expr, $max:expr, $number:ident;)*) => {$(
        pub(crate) static $name: Scalar = Scalar {
            title: $title, pattern: $pattern, example: $example, units: $units, chars_max: $max,
            number_too: NumberToo::$number,
        };
    )*};
}

/// The longest a quantity can sensibly be written.
const QUANTITY_CHARS_MAX: usize = 64;

scalars! {
    NAME: "name", r"^[\p{L}\p{N}][\p{L}\p{N}._-]*$", "shot-120", None, NAME_CHARS_MAX, Label;
    PROJECT: "project", r"^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){1,5}$", "studio-a/film-3", None, PROJECT_CHARS_MAX, No;
    IMAGE: "image", r"^\S+$", "registry.local/blender:4", None, PATH_CHARS_MAX, No;
    CONTRACT: "contract", r"^\S(.*\S)?$", "C-2026-118", None, TEXT_CHARS_MAX, Label;
    REGION: "region", r"^\S(.*\S)?$", "Guizhou", None, TEXT_CHARS_MAX, Label;
    SITE: "site", r"^\S(.*\S)?$", "guian-1", None, TEXT_CHARS_MAX, Label;
    NODE_FEATURE: "feature of a node", r"^[A-Za-z0-9][A-Za-z0-9._:/=-]*$", "avx512f", None, TEXT_CHARS_MAX, Label;
    LICENSE: "licence", r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?(:0*[1-9][0-9]*)?$", "ansys:2", None, TEXT_CHARS_MAX, No;
    PATH: "path inside the folder", r"^(?!(.*/)?\.\.(/|$))[^/]", "out/", None, PATH_CHARS_MAX, Label;
    ABSOLUTE: "absolute path", r"^/(?!(.*/)?\.{1,2}(/|$))(?!.*//)", "/data/out.txt", None, PATH_CHARS_MAX, No;
    MOUNT_POINT: "absolute path", r"^/(?!(proc|sys|dev|work)(/|$))(?!(.*/)?\.{1,2}(/|$))(?!.*//)[^:,]*[^:,/]$", "/data", None, PATH_CHARS_MAX, No;
    WORD: "word of a command", r"", "--input", None, RUN_CHARS_MAX, Label;
    COMMAND: "command", r"\S", "./program --input data", None, RUN_CHARS_MAX, Label;
    LOCATION: "address of data", r"^(dayan://[a-z0-9]|data://|file:///|s3://[^/]+/|https?://[^/]|(?!.*://)[^/])", "s3://bucket/folder/", None, PATH_CHARS_MAX, Label;
    SHA256: "SHA-256", r"^[0-9a-f]{64}$", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", None, QUANTITY_CHARS_MAX, Label;
    SECRET: "secret", r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "studio-s3", None, TEXT_CHARS_MAX, Label;
    CITY: "place", r"^city:\S", "city:Guiyang", None, TEXT_CHARS_MAX, No;
    PROVIDER: "provider", r"^(prov_[0-9a-z]{10,26}|(?!prov_)\S(.*\S)?)$", "prov_01hq3v9k2m", None, TEXT_CHARS_MAX, Label;
    CPUS: "cores", r"^ *[0-9]+(\.[0-9]+)?( *\.\. *([0-9]+(\.[0-9]+)?)?)? *$", "32..64", None, QUANTITY_CHARS_MAX, Amount;
    BYTES: "bytes", r"^ *[0-9]+(\.[0-9]+)? *([kKMGTP]?B|[KMGTP]iB)( *\.\. *([0-9]+(\.[0-9]+)? *([kKMGTP]?B|[KMGTP]iB))?)? *$", "64GB", Some("B, KB, MB, GB, TB, PB and KiB, MiB, GiB, TiB, PiB"), QUANTITY_CHARS_MAX, No;
    FLOPS: "operations a second", r"^ *[0-9]+(\.[0-9]+)? *[MGTP]?(FL)?OPS( *\.\. *([0-9]+(\.[0-9]+)? *[MGTP]?(FL)?OPS)?)? *$", "600 TFLOPS..", Some("FLOPS, MFLOPS, GFLOPS, TFLOPS, PFLOPS"), QUANTITY_CHARS_MAX, No;
    SPAN: "span", r"^ *([0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|w))+ *$", "1h30m", Some("us, ms, s, m, h, d, w"), QUANTITY_CHARS_MAX, No;
    MONEY: "money", r"^ *[0-9]+(\.[0-9]{1,6})? +[A-Z]{3} *$", "60.00 CNY", None, QUANTITY_CHARS_MAX, No;
    UNIT_PRICE: "price for an hour", r"^ *[0-9]+(\.[0-9]{1,6})? +[A-Z]{3} */ *hour *$", "9.50 CNY/hour", None, QUANTITY_CHARS_MAX, No;
    TIME: "time (RFC 3339)", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?)$", "2026-11-30T18:00:00+08:00", None, QUANTITY_CHARS_MAX, No;
    ARRAY_RANGE: "range", r"^[0-9]+(-[0-9]+)?(:0*[1-9][0-9]*)?$", "1001-1240", None, QUANTITY_CHARS_MAX, Label;
    ACCELERATOR: "accelerator", r"^[A-Za-z0-9][A-Za-z0-9._+-]*(:(0*[1-9][0-9]*(\.0+)?|0+\.[0-9]*[1-9][0-9]*))?$", "H100:8", None, TEXT_CHARS_MAX, Label;
    RETRY_CAUSE: "cause", r"^(node_failure|preempted|site_lost|oom|exit:[0-9]{1,3})$", "node_failure", None, TEXT_CHARS_MAX, No;
    HTTP_PATH: "path of an address", r"^/\S*$", "/healthz", None, PATH_CHARS_MAX, No;
    CRON: "cron line", r"^ *\S+( +\S+){4} *$", "20 0,6,12,18 * * *", None, TEXT_CHARS_MAX, No;
    TIMEZONE: "time zone", r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", "Asia/Shanghai", None, QUANTITY_CHARS_MAX, No;
    DEPENDENCY: "job", r"^[^\s:]([^:]*[^\s:])?(:(started|succeeded|failed|ended|each))?$", "shot-119:succeeded", None, TEXT_CHARS_MAX, Label;
    CONTACT: "address", r"^(https?://\S+|mailto:[^\s@]+@[^\s@]+)$", "https://host/hook", None, PATH_CHARS_MAX, No;
}
