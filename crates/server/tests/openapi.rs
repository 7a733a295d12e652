//! The published description of the API is what the server serves. `DAYAN_WRITE_DOCS=1` writes it.

#[test]
fn the_published_description_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let mut current = dayan_server::openapi().to_pretty_json().expect("plain data");
    current.push('\n');
    if std::env::var_os("DAYAN_WRITE_DOCS").is_some() {
        std::fs::write(path, &current).expect("the docs can be written");
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        published == current,
        "docs/reference/openapi.json is not current: DAYAN_WRITE_DOCS=1 cargo test -p dayan-server --test openapi"
    );
}
