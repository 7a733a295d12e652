//! What the accounting lets this user do, as the REST daemon of the accounting tells it: associations and
//! QoS. All versions call the limits the same; numbers and flags differ as everywhere.

use reqwest::Method;
use serde::Deserialize;

use super::Rest;
use super::lenient::{Flags, Number, Text, Tres};
use super::reading::{Complaint, listed};
use crate::slurm::access::{Access, Account, Enforced, Group, Limits, Qos};
use crate::slurm::rights::{Tree, in_tree};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Associations {
    associations: Option<Vec<Association>>,
    errors: Vec<Complaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Association {
    account: Text,
    cluster: Text,
    partition: Text,
    user: Text,
    parent_account: Text,
    qos: Flags,
    default: DefaultQos,
    flags: Flags,
    is_default: Flags,
    max: Max,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct DefaultQos {
    qos: Text,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Max {
    jobs: MaxJobs,
    tres: MaxTres,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct MaxJobs {
    per: PerAll,
    active: Number,
    total: Number,
}

/// Of all jobs of the association; the wall clock, by its name among them, of each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PerAll {
    count: Number,
    submitted: Number,
    wall_clock: Number,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct MaxTres {
    total: Vec<Tres>,
    per: TresPer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TresPer {
    user: Vec<Tres>,
}

fn cpus(all: &[Tres]) -> Option<u64> {
    count(all.iter().find(|one| one.kind.0 == "cpu")?.count)
}

fn count(number: Number) -> Option<u64> {
    u64::try_from(number.0?).ok()
}

impl Association {
    fn group(&self) -> Group {
        Group {
            jobs: count(self.max.jobs.per.count),
            submit: count(self.max.jobs.per.submitted),
            cpus: cpus(&self.max.tres.total),
        }
    }

    fn is_default(&self) -> bool {
        let said = &self.is_default;
        said.has("true") || said.has("1") || self.flags.has("DEFAULT")
    }

    fn account(&self, tree: &Tree) -> Account {
        let text = |text: &Text| Some(text.0.clone()).filter(|text| !text.is_empty());
        let (of_all, above) = in_tree(tree, &self.account.0);
        Account {
            name: self.account.0.clone(),
            partition: text(&self.partition),
            above,
            qos: self.qos.0.iter().cloned().collect(),
            default_qos: text(&self.default.qos),
            limits: Limits {
                minutes: self.max.jobs.per.wall_clock.0,
                jobs: count(self.max.jobs.active),
                submit: count(self.max.jobs.total),
                cpus: None,
                group: self.group().and(&of_all),
            },
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Qualities {
    #[serde(alias = "QOS")]
    qos: Option<Vec<Quality>>,
    errors: Vec<Complaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Quality {
    name: Text,
    limits: QosLimits,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct QosLimits {
    max: QosMax,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct QosMax {
    active_jobs: Counted,
    jobs: QosJobs,
    tres: MaxTres,
    wall_clock: WallClock,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Counted {
    count: Number,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct QosJobs {
    /// From 24.11 on.
    count: Number,
    active_jobs: PerUser,
    per: OfUser,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PerUser {
    per: OfUser,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OfUser {
    user: Number,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct WallClock {
    per: OfJob,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct OfJob {
    job: Number,
}

impl Quality {
    fn quality(&self) -> Qos {
        let max = &self.limits.max;
        Qos {
            name: self.name.0.clone(),
            limits: Limits {
                minutes: max.wall_clock.per.job.0,
                jobs: count(max.jobs.active_jobs.per.user),
                submit: count(max.jobs.per.user),
                cpus: cpus(&max.tres.per.user),
                group: Group {
                    jobs: count(max.active_jobs.count),
                    submit: count(max.jobs.count),
                    cpus: cpus(&max.tres.total),
                },
            },
        }
    }
}

/// Of all associations those of this user in this cluster.
fn read(
    associations: Associations,
    qualities: Qualities,
    user: &str,
    cluster: &str,
) -> Result<Access, String> {
    let all = listed(associations.associations, associations.errors, "associations")?;
    let qualities = listed(qualities.qos, qualities.errors, "QoS")?;
    let here: Vec<Association> = all
        .into_iter()
        .filter(|one| cluster.is_empty() || one.cluster.0.eq_ignore_ascii_case(cluster))
        .collect();
    let named = |text: &Text| Some(text.0.clone()).filter(|text| !text.is_empty());
    let tree: Tree = here
        .iter()
        .filter(|one| one.user.0.is_empty())
        .map(|one| (one.account.0.clone(), (named(&one.parent_account), one.group())))
        .collect();
    let own: Vec<&Association> = here.iter().filter(|one| one.user.0 == user).collect();
    Ok(Access {
        enforced: Enforced::default(),
        default_account: own.iter().find(|one| one.is_default()).map(|one| one.account.0.clone()),
        accounts: own.iter().map(|one| one.account(&tree)).collect(),
        qos: qualities.iter().map(Quality::quality).collect(),
    })
}

impl Rest {
    /// Two questions to the accounting.
    pub(in crate::slurm) fn access(&self, cluster: &str) -> Result<Access, String> {
        let user = match self.inner.tokens.get()? {
            Some(token) => token.user,
            None => std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).map_err(|_| {
                "slurm.rest_user: nobody says whose accounts are meant; set USER".to_owned()
            })?,
        };
        let offered = self.offered()?;
        let get = |what: &str| {
            let path = offered.path(true, what).ok_or_else(|| {
                format!("slurmrestd v0.0.{} does not tell of {what}", offered.dialect.0)
            })?;
            self.call(Method::GET, &path, None)
        };
        read(get("associations")?.read()?, get("qos")?.read()?, &user, cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The same accounts and QoS with numbers written one way or the other.
    fn answers(number: fn(i64) -> Value, none: &Value, is_new: bool) -> (Value, Value) {
        let tres =
            |count: i64| json!([{"type": "mem", "count": 9}, {"type": "cpu", "count": count}]);
        let row = |account: &str, user: &str, parent: &str, cpu: Option<i64>, per: Value| {
            json!({"account": account, "cluster": "lab", "user": user, "parent_account": parent,
                "partition": if is_new { json!("") } else { Value::Null },
                "is_default": if is_new { json!(user == "ann") } else { json!(0) },
                "flags": if user == "ann" && !is_new { json!(["DEFAULT"]) } else { json!([]) },
                "default": {"qos": "normal"}, "qos": ["normal", "fast"],
                "max": {"jobs": {"per": per, "active": number(21), "total": none},
                        "tres": {"total": cpu.map_or(json!([]), tres), "per": {"job": tres(1)}}}})
        };
        let per = |count: Value, submitted: Value, wall: Value| json!({"count": count, "submitted": submitted, "wall_clock": wall});
        let empty = || per(none.clone(), none.clone(), none.clone());
        let associations = json!({"errors": [], "associations": [
            row("root", "", "", None, empty()),
            row("top", "", "root", Some(6), per(none.clone(), number(20), none.clone())),
            row("leaf", "", "top", None, per(number(7), none.clone(), none.clone())),
            row("leaf", "ann", "", Some(26), per(number(23), none.clone(), number(27))),
            row("leaf", "bob", "", None, empty()),
        ]});
        let fast = json!({"name": "fast", "limits": {"max": {
            "active_jobs": {"count": number(13)},
            "jobs": {"active_jobs": {"per": {"user": number(11)}}, "per": {"user": number(12)}},
            "tres": {"total": tres(16), "per": {"user": tres(15)}},
            "wall_clock": {"per": {"job": number(2), "qos": none}}}}});
        let key = if is_new { "qos" } else { "QOS" };
        (associations, json!({"errors": [], key: [fast, {"name": "normal"}]}))
    }

    #[test]
    fn accounts_of_all_versions_are_the_same() {
        let old = answers(|n| json!(n), &Value::Null, false);
        let none = json!({"set": false, "infinite": true, "number": 0});
        let new = answers(|n| json!({"set": true, "infinite": false, "number": n}), &none, true);
        let read = |(associations, qualities): (Value, Value)| {
            let associations = serde_json::from_value(associations).expect("read");
            let qualities = serde_json::from_value(qualities).expect("read");
            read(associations, qualities, "ann", "lab").expect("both are there")
        };
        let (old, new) = (read(old), read(new));
        assert_eq!(old, new);
        assert_eq!(old.default_account.as_deref(), Some("leaf"));
        assert_eq!(old.accounts.len(), 1, "not bob's");
        let group = |jobs, submit, cpus| Group { jobs, submit, cpus };
        let leaf = Limits {
            minutes: Some(27),
            jobs: Some(21),
            submit: None,
            cpus: None,
            group: group(Some(7), Some(20), Some(6)),
        };
        assert_eq!(old.accounts[0].limits, leaf);
        let fast = Limits {
            minutes: Some(2),
            jobs: Some(11),
            submit: Some(12),
            cpus: Some(15),
            group: group(Some(13), None, Some(16)),
        };
        assert_eq!(old.qos[0].limits, fast);
        assert_eq!(old.qos[1].limits, Limits::default());
    }
}
