//! The whole table of who may do what, so that no cell changes unseen.

use std::fmt::Write as _;

use dayan_exchange::{Action, Grant, Resource, Role, grant};

#[test]
fn the_matrix_of_roles_resources_and_actions() {
    let mut table = String::new();
    for role in Role::ALL {
        writeln!(table, "{}", role.name()).expect("a string");
        for resource in Resource::ALL {
            let cell = |action| match grant(role, resource, action) {
                Grant::No => "-",
                Grant::Own => "own",
                Grant::All => "all",
            };
            let cells: Vec<String> =
                Action::ALL.iter().map(|a| format!("{a:?} {}", cell(*a)).to_lowercase()).collect();
            writeln!(table, "  {resource:?}: {}", cells.join(", ")).expect("a string");
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_viewer_changes_nothing_and_an_auditor_neither() {
    for role in [Role::Viewer, Role::Auditor] {
        for resource in Resource::ALL {
            for action in [Action::Create, Action::Update, Action::Delete] {
                assert_eq!(grant(role, resource, action), Grant::No, "{role:?} {resource:?}");
            }
        }
    }
}

#[test]
fn more_of_a_role_never_takes_a_right_away() {
    for pair in
        [(Role::Viewer, Role::Member), (Role::Member, Role::Owner), (Role::Owner, Role::Operator)]
    {
        for resource in Resource::ALL {
            for action in Action::ALL {
                assert!(grant(pair.0, resource, action) <= grant(pair.1, resource, action));
            }
        }
    }
}
