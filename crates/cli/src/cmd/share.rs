//! `dayan share`: how projects stand to each other, and the weights by which shares are meted out.

use dayan_wire::{NewWeight, Share};
use serde_json::json;

use super::session::{Session, pick};
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View, seconds};
use crate::words::Word;

/// Shares of projects and organisations
#[derive(Debug, clap::Args)]
pub struct Shares {
    #[command(subcommand)]
    command: Option<ShareCommand>,
}

/// What to do with shares
#[derive(Debug, clap::Subcommand)]
pub enum ShareCommand {
    /// Lists the projects whose jobs have not ended: what each had of late beside what is meant for it
    Ls,
    /// Gives a project or an organisation another weight
    Set {
        /// ORG/PROJECT, or ORG for an organisation, which the operator may
        name: String,
        /// Its part of the sum of all weights is meant for it; 1 unless set
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000))]
        weight: u32,
    },
}

/// Runs `dayan share`.
pub async fn share(args: &Shares, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match args.command.as_ref().unwrap_or(&ShareCommand::Ls) {
        ShareCommand::Ls => session.out.show(&client.shares().await?)?,
        ShareCommand::Set { name, weight } => {
            let lang = client.lang();
            let new = NewWeight { weight: *weight };
            if name.contains('/') || name.starts_with("prj_") {
                let rows = client.projects().await?;
                let row = pick(&rows, Word::KindProject, name, lang, |p| vec![&p.id, &p.path])?;
                client.set_weight("projects", &row.id, &new).await?;
            } else {
                let rows = client.orgs().await?;
                let row = pick(&rows, Word::KindOrg, name, lang, |o| vec![&o.id, &o.name])?;
                client.set_weight("orgs", &row.id, &new).await?;
            }
            let said = Said::with(Word::WeightSet, "name", name).and("weight", weight.to_string());
            session.out.done(&json!({ "name": name, "weight": weight }), &said)?;
        }
    }
    Ok(Exit::Ok)
}

fn percent(permille: u32) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}

impl Show for Vec<Share> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Project,
            Word::Weight,
            Word::Share,
            Word::Had,
            Word::OrgWeight,
            Word::OrgShare,
            Word::OrgHad,
            Word::Behind,
        ];
        let mut grid = Grid::new(view, &heads);
        for share in self {
            grid.row([
                Cell::text(&share.project),
                Cell::number(share.weight),
                Cell::number(percent(share.share_permille)),
                Cell::number(percent(share.had_permille)),
                Cell::number(share.org_weight),
                Cell::number(percent(share.org_share_permille)),
                Cell::number(percent(share.org_had_permille)),
                Cell::number(seconds(share.behind_s as f64)),
            ]);
        }
        grid.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Fake, Says, both, dayan};

    fn a_share() -> Share {
        Share {
            project: "studio-a/film-3".to_owned(),
            org_weight: 1,
            org_share_permille: 500,
            org_had_permille: 900,
            weight: 3,
            share_permille: 750,
            had_permille: 745,
            behind_s: 9 * 3_600,
        }
    }

    #[test]
    fn shares_as_people_see_them() {
        insta::assert_snapshot!("shares", both(&vec![a_share()]));
    }

    #[tokio::test]
    async fn a_weight_goes_to_the_project_or_the_organisation_of_that_name() {
        let fake = Fake::start(|came, _| {
            let project = json!({ "items": [{
                "id": "prj_1", "path": "lab/demo", "budget": {}, "spent_today": "0.00",
                "spent_month": "0.00", "held": "0.00", "currency": "CNY" }] });
            let org = json!({ "items": [{
                "id": "org_1", "name": "lab", "class": "external", "balance": "0.00",
                "held": "0.00", "currency": "CNY", "created_at": "2026-11-23T12:00:00Z" }] });
            match came.line.split_whitespace().collect::<Vec<_>>()[..] {
                ["GET", path, ..] if path.starts_with("/v1/projects") => Says::json(200, &project),
                ["GET", path, ..] if path.starts_with("/v1/orgs") => Says::json(200, &org),
                _ => Says::json(204, &json!(null)),
            }
        })
        .await;
        for line in [["share", "set", "lab/demo", "3"], ["share", "set", "lab", "2"]] {
            let ran = dayan(fake.environment(), &line).await;
            assert!(ran.stderr.contains("has the weight"), "{} {}", ran.stdout, ran.stderr);
        }
        let came = fake.came();
        let put: Vec<_> = came.iter().filter(|came| came.line.starts_with("PUT")).collect();
        assert!(put[0].line.contains("/v1/projects/prj_1/weight"), "{}", put[0].line);
        assert!(put[1].line.contains("/v1/orgs/org_1/weight"), "{}", put[1].line);
    }
}
