//! `dayan quota`: what organisations and projects may hold at once, and hold.

use dayan_units::{Bytes, MilliAccel, MilliCpu};
use dayan_wire::{Quota, QuotaLimits};
use serde_json::json;

use super::session::{Session, pick};
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// Quotas of projects and organisations
#[derive(Debug, clap::Args)]
pub struct Quotas {
    #[command(subcommand)]
    command: Option<QuotaCommand>,
}

/// What to do with quotas
#[derive(Debug, clap::Subcommand)]
pub enum QuotaCommand {
    /// Lists the quotas there are, with what is held now
    Ls,
    /// Says what a project or an organisation may hold at once; what is left out is not limited
    Set {
        /// ORG/PROJECT, or ORG for an organisation, which the operator may
        name: String,
        /// Cores
        #[arg(long)]
        cpus: Option<MilliCpu>,
        /// Memory, such as 512GB
        #[arg(long)]
        memory: Option<Bytes>,
        /// Accelerator cards of any model, in parts where parts are sold
        #[arg(long)]
        accelerators: Option<MilliAccel>,
    },
}

/// Runs `dayan quota`.
pub async fn quota(args: &Quotas, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match args.command.as_ref().unwrap_or(&QuotaCommand::Ls) {
        QuotaCommand::Ls => session.out.show(&client.quotas().await?)?,
        QuotaCommand::Set { name, cpus, memory, accelerators } => {
            let lang = client.lang();
            let limits = QuotaLimits {
                cpus: cpus.map(|most| most.to_string()),
                memory: memory.map(|most| most.0),
                accelerators: accelerators.map(|most| most.to_string()),
            };
            if name.contains('/') || name.starts_with("prj_") {
                let rows = client.projects().await?;
                let row = pick(&rows, Word::KindProject, name, lang, |p| vec![&p.id, &p.path])?;
                client.set_quota("projects", &row.id, &limits).await?;
            } else {
                let rows = client.orgs().await?;
                let row = pick(&rows, Word::KindOrg, name, lang, |o| vec![&o.id, &o.name])?;
                client.set_quota("orgs", &row.id, &limits).await?;
            }
            let said = Said::with(Word::QuotaSet, "name", name).and("quota", text(&limits));
            session.out.done(&json!({ "name": name, "quota": limits }), &said)?;
        }
    }
    Ok(Exit::Ok)
}

fn text(limits: &QuotaLimits) -> String {
    let memory = limits.memory.map(|most| Bytes(most).to_string());
    let or_any = |most: Option<&str>| most.unwrap_or("-").to_owned();
    [limits.cpus.as_deref(), memory.as_deref(), limits.accelerators.as_deref()]
        .map(or_any)
        .join(" / ")
}

impl Show for Vec<Quota> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Name,
            Word::CpusHeld,
            Word::AtMost,
            Word::MemoryHeld,
            Word::AtMost,
            Word::CardsHeld,
            Word::AtMost,
        ];
        let mut grid = Grid::new(view, &heads);
        for row in self {
            let most = |most: &Option<String>| most.clone().unwrap_or_else(|| "-".to_owned());
            grid.row([
                Cell::text(&row.name),
                Cell::number(&row.held.cpus),
                Cell::number(most(&row.quota.cpus)),
                Cell::number(Bytes(row.held.memory)),
                Cell::number(most(&row.quota.memory.map(|most| Bytes(most).to_string()))),
                Cell::number(&row.held.accelerators),
                Cell::number(most(&row.quota.accelerators)),
            ]);
        }
        grid.finish()
    }
}

#[cfg(test)]
mod tests {
    use dayan_wire::Held;

    use super::*;
    use crate::tests::{Fake, Says, both, dayan};

    fn a_quota() -> Quota {
        Quota {
            of: "project".to_owned(),
            id: "prj_1".to_owned(),
            name: "studio-a/film-3".to_owned(),
            quota: QuotaLimits {
                cpus: Some("64".to_owned()),
                memory: None,
                accelerators: Some("8".to_owned()),
            },
            held: Held {
                cpus: "12".to_owned(),
                memory: 48_000_000_000,
                accelerators: "2.5".to_owned(),
            },
        }
    }

    #[test]
    fn quotas_as_people_see_them() {
        insta::assert_snapshot!("quotas", both(&vec![a_quota()]));
    }

    #[tokio::test]
    async fn a_quota_goes_to_the_project_of_that_name_with_what_is_limited_only() {
        let fake = Fake::start(|came, _| {
            let project = json!({ "items": [{
                "id": "prj_1", "path": "lab/demo", "budget": {}, "spent_today": "0.00",
                "spent_month": "0.00", "held": "0.00", "currency": "CNY" }] });
            match came.line.split_whitespace().collect::<Vec<_>>()[..] {
                ["GET", path, ..] if path.starts_with("/v1/projects") => Says::json(200, &project),
                _ => Says::json(204, &json!(null)),
            }
        })
        .await;
        let line = ["quota", "set", "lab/demo", "--cpus", "64", "--memory", "512GB"];
        let ran = dayan(fake.environment(), &line).await;
        assert!(ran.stderr.contains("64 / 512GB / -"), "{} {}", ran.stdout, ran.stderr);
        let came = fake.came();
        let put = came.iter().find(|came| came.line.starts_with("PUT")).expect("it was sent");
        assert!(put.line.contains("/v1/projects/prj_1/quota"), "{}", put.line);
        let sent: serde_json::Value = serde_json::from_str(&put.body).expect("JSON");
        assert_eq!(sent, json!({ "cpus": "64", "memory": 512_000_000_000_u64 }));
    }
}
