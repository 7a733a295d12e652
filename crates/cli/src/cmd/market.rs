//! `dayan offers` and `dayan offer`: what is listed at which price.

use std::collections::BTreeMap;

use dayan_wire::{NewOffer, Offer};
use serde::Serialize;
use serde_json::json;

use super::session::{Session, amount_arg, pool_id, seconds_arg, seconds_or_none_arg};
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Format, Grid, Show, View};
use crate::words::Word;

/// Lists offers at the prices you would pay
#[derive(Debug, clap::Args)]
pub struct Offers {
    /// Only those whose pool, provider, site or accelerator contains this
    filter: Option<String>,
}

/// Lists capacity of a pool at a price
#[derive(Debug, clap::Subcommand)]
pub enum OfferCommand {
    /// Lists capacity of a pool at a price
    Create(Box<CreateOffer>),
    /// Lists offers
    Ls(Offers),
    /// Takes an offer from the list; what runs under it goes on
    Retire {
        /// The offer's id
        id: String,
    },
}

/// A new offer
#[derive(Debug, clap::Args)]
pub struct CreateOffer {
    /// The pool: its id, its name or PROVIDER/NAME
    pool: String,
    /// For one core for an hour
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg, allow_hyphen_values = true)]
    core_hour: String,
    /// For one GB of memory for an hour
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg, allow_hyphen_values = true)]
    gb_hour: Option<String>,
    /// For one accelerator card for an hour
    #[arg(long, value_name = "AMOUNT", value_parser = amount_arg, allow_hyphen_values = true)]
    card_hour: Option<String>,
    /// The accelerator's model
    #[arg(long, value_name = "MODEL")]
    accelerator: Option<String>,
    /// Least billed time of an attempt
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = seconds_or_none_arg)]
    minimum: u32,
    /// What a class of buyers pays, in thousandths of the price: internal=600
    #[arg(long = "class", value_name = "CLASS=PERMILLE", value_parser = class_arg)]
    classes: Vec<(String, u32)>,
    /// Sells it to work that may be taken back too, at so many thousandths of the price: 400
    #[arg(long, value_name = "PERMILLE")]
    spot: Option<u32>,
    /// What hours of the day cost, in thousandths of the price: 22-6=700,9-12=1200
    #[arg(long, value_name = "FROM-TO=PERMILLE,…", value_parser = hours_arg)]
    hours: Option<Hours>,
    /// After how long it stops being listed
    #[arg(long, value_name = "TIME", value_parser = seconds_arg)]
    expires: Option<u32>,
}

/// What each hour of a day costs, in thousandths of the price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Hours([u32; 24]);

/// From an hour on until another, past midnight where that is smaller.
fn hours_arg(text: &str) -> Result<Hours, String> {
    let form = || "write it like `22-6=700,9-12=1200`: hours of the day from 0 to 24".to_owned();
    let mut hours = [None; 24];
    for part in text.split(',') {
        let (span, permille) = part.split_once('=').ok_or_else(form)?;
        let (from, to) = span.split_once('-').ok_or_else(form)?;
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| form());
        let (from, to, permille) = (number(from)?, number(to)?, number(permille)?);
        if from > 23 || to > 24 || from == to || permille > PERMILLE_MAX {
            return Err(form());
        }
        let mut hour = from;
        loop {
            if hours[hour as usize].replace(permille).is_some() {
                return Err(format!("{hour}:00 is in two of these spans: name each hour once"));
            }
            hour = (hour + 1) % 24;
            if hour == to % 24 {
                break;
            }
        }
    }
    Ok(Hours(hours.map(|permille| permille.unwrap_or(1_000))))
}

/// A thousand times the price is a mistake, not a price.
const PERMILLE_MAX: u32 = 1_000_000;

fn class_arg(text: &str) -> Result<(String, u32), String> {
    let form = || "write it like `internal=600`".to_owned();
    let (class, permille) = text.split_once('=').ok_or_else(form)?;
    let permille: u32 = permille.parse().map_err(|_| form())?;
    if class.is_empty() || permille > PERMILLE_MAX {
        Err(form())
    } else {
        Ok((class.into(), permille))
    }
}

/// Lists offers.
pub async fn offers(args: &Offers, session: &Session) -> Result<Exit, Failure> {
    let mut rows = session.client()?.offers().await?;
    if let Some(filter) = &args.filter {
        rows.retain(|offer| matches(offer, filter));
    }
    session.out.show(&rows)?;
    Ok(Exit::Ok)
}

/// What a seller lists; for who sells nothing, the offers of others.
async fn listings(args: &Offers, session: &Session) -> Result<Exit, Failure> {
    let mut rows = session.client()?.offers().await?;
    if let Some(filter) = &args.filter {
        rows.retain(|offer| matches(offer, filter));
    }
    if rows.iter().any(|offer| offer.listed.is_some()) {
        rows.retain(|offer| offer.listed.is_some());
        session.out.show(&Listings(rows))?;
        return Ok(Exit::Ok);
    }
    session.out.show(&rows)?;
    match session.out.format {
        Format::Table => session.out.say(&Said::plain(Word::PricesAreYours)),
        Format::Json | Format::Yaml => {}
    }
    Ok(Exit::Ok)
}

/// Offers with what they list, and for whom.
#[derive(Serialize)]
#[serde(transparent)]
struct Listings(Vec<Offer>);

impl Show for Listings {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Offer,
            Word::Pool,
            Word::Provider,
            Word::CoreHour,
            Word::GbHour,
            Word::CardHour,
            Word::Classes,
            Word::Spot,
            Word::ByHour,
            Word::Accelerator,
            Word::Minimum,
        ];
        let mut grid = Grid::new(view, &heads);
        for offer in &self.0 {
            let Some(listed) = &offer.listed else { continue };
            let class = |(name, permille): (&String, &u32)| {
                format!("{name} {}%", f64::from(*permille) / 10.0)
            };
            let classes: Vec<String> = listed.classes.iter().map(class).collect();
            grid.row([
                Cell::id(&offer.id),
                Cell::text(&offer.pool_name),
                Cell::text(&offer.provider),
                Cell::number(format!("{} {}", listed.core_hour, offer.currency)),
                Cell::number(&listed.gb_hour),
                Cell::number(&listed.card_hour),
                Cell::text(classes.join(" ")),
                Cell::number(spot(offer)),
                Cell::number(by_hour(offer)),
                Cell::text(offer.accelerator.as_deref().unwrap_or("-")),
                Cell::number(format!("{}s", offer.minimum)),
            ]);
        }
        grid.finish()
    }
}

/// The cheapest and the dearest hour of the day.
fn by_hour(offer: &Offer) -> String {
    let Some(hours) = &offer.hours else { return "-".to_owned() };
    let percent = |permille: Option<&u32>| f64::from(*permille.unwrap_or(&1_000)) / 10.0;
    format!("{}–{}%", percent(hours.iter().min()), percent(hours.iter().max()))
}

/// What spot work pays of the price.
fn spot(offer: &Offer) -> String {
    offer.spot.map_or_else(|| "-".to_owned(), |spot| format!("{}%", f64::from(spot) / 10.0))
}

fn matches(offer: &Offer, filter: &str) -> bool {
    let filter = filter.to_lowercase();
    let accelerator = offer.accelerator.as_deref().unwrap_or_default();
    [&offer.id, &offer.pool, &offer.pool_name, &offer.provider, &offer.site, accelerator]
        .iter()
        .any(|text| text.to_lowercase().contains(&filter))
}

/// Runs `dayan offer`.
pub async fn offer(command: &OfferCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        OfferCommand::Ls(args) => listings(args, session).await,
        OfferCommand::Create(args) => create(args, session).await,
        OfferCommand::Retire { id } => {
            session.client()?.retire_offer(id).await?;
            session.out.done(&json!({ "id": id }), &Said::with(Word::Retired, "what", id))?;
            Ok(Exit::Ok)
        }
    }
}

async fn create(args: &CreateOffer, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    let offer = NewOffer {
        pool: pool_id(&client, &args.pool).await?,
        core_hour: args.core_hour.clone(),
        gb_hour: args.gb_hour.clone(),
        card_hour: args.card_hour.clone(),
        accelerator: args.accelerator.clone(),
        hours: args.hours.map(|hours| hours.0),
        minimum: args.minimum,
        classes: args.classes.iter().cloned().collect::<BTreeMap<_, _>>(),
        spot: args.spot,
        expires_in: args.expires,
    };
    let made = client.create_offer(&offer).await?;
    session.out.value("id", &json!({ "id": made.id }), None)?;
    Ok(Exit::Ok)
}

impl Show for Vec<Offer> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Offer,
            Word::Pool,
            Word::Provider,
            Word::Site,
            Word::CoreHour,
            Word::GbHour,
            Word::CardHour,
            Word::Spot,
            Word::ByHour,
            Word::Accelerator,
            Word::Minimum,
        ];
        let mut grid = Grid::new(view, &heads);
        for offer in self {
            grid.row([
                Cell::id(&offer.id),
                Cell::text(&offer.pool_name),
                Cell::text(&offer.provider),
                Cell::text(&offer.site),
                Cell::number(format!("{} {}", offer.core_hour, offer.currency)),
                Cell::number(&offer.gb_hour),
                Cell::number(&offer.card_hour),
                Cell::number(spot(offer)),
                Cell::number(by_hour(offer)),
                Cell::text(offer.accelerator.as_deref().unwrap_or("-")),
                Cell::number(format!("{}s", offer.minimum)),
            ]);
        }
        grid.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{both, sample};

    #[test]
    fn hours_go_past_midnight_and_each_is_named_once() {
        let Hours(hours) = hours_arg("22-6=700,9-11=1200,11-12=900").expect("it is well formed");
        assert_eq!(
            (hours[21], hours[22], hours[23], hours[0], hours[5]),
            (1_000, 700, 700, 700, 700)
        );
        assert_eq!(
            (hours[6], hours[9], hours[10], hours[11], hours[12]),
            (1_000, 1_200, 1_200, 900, 1_000)
        );
        let Hours(all) = hours_arg("0-24=500").expect("a whole day");
        assert_eq!(all, [500; 24]);
        for wrong in ["", "9=1", "9-9=1", "24-25=1", "9-12", "a-b=1", "9-12=-1", "9-12=1,11-13=2"] {
            assert!(hours_arg(wrong).is_err(), "{wrong}");
        }
    }

    fn offer() -> Offer {
        Offer {
            id: "off_01h455vb4pex5vsknk084sn02q".to_owned(),
            pool: "pool_01h455vb4pex5vsknk084sn02q".to_owned(),
            pool_name: "guian-1".to_owned(),
            provider: "guian-dc".to_owned(),
            site: "Gui'an".to_owned(),
            core_hour: "0.12".to_owned(),
            gb_hour: "0.01".to_owned(),
            card_hour: "0.00".to_owned(),
            currency: "CNY".to_owned(),
            accelerator: None,
            minimum: 10,
            spot: Some(400),
            hours: Some(std::array::from_fn(|hour| if hour < 6 { 700 } else { 1_000 })),
            listed: None,
        }
    }

    fn listed() -> Offer {
        let classes = [("internal".to_owned(), 600), ("external".to_owned(), 1_255)];
        let price = dayan_wire::ListPrice {
            core_hour: "0.20".to_owned(),
            gb_hour: "0.02".to_owned(),
            card_hour: "0.00".to_owned(),
            classes: BTreeMap::from(classes),
        };
        Offer { listed: Some(price), ..offer() }
    }

    #[test]
    fn a_seller_sees_the_list_and_what_each_class_pays_of_it() {
        insta::assert_snapshot!(both(&Listings(vec![listed()])));
    }

    #[tokio::test]
    async fn a_seller_is_shown_the_own_offers_only() {
        let fake = crate::tests::Fake::start(|_, _| {
            let other = Offer { pool_name: "elsewhere".to_owned(), ..offer() };
            crate::tests::Says::json(200, &json!({ "items": [listed(), other] }))
        })
        .await;
        let ran = crate::tests::dayan(fake.environment(), &["offer", "ls"]).await;
        assert!(ran.stdout.contains("0.20 CNY") && !ran.stdout.contains("elsewhere"), "{ran:?}");
        assert_eq!(ran.stderr, "");
        let ran = crate::tests::dayan(fake.environment(), &["offers"]).await;
        assert!(ran.stdout.contains("elsewhere"), "{ran:?}");
    }

    #[test]
    fn offers_as_people_see_them() {
        insta::assert_snapshot!(both(&vec![offer(), offer()]));
        insta::assert_snapshot!("offers_json", sample(&vec![offer()]));
    }

    #[tokio::test]
    async fn a_seller_is_told_whose_prices_the_list_shows() {
        let fake = crate::tests::Fake::start(|_, _| {
            crate::tests::Says::json(200, &json!({ "items": [offer()] }))
        })
        .await;
        let ran = crate::tests::dayan(fake.environment(), &["offer", "ls"]).await;
        assert!(ran.stderr.contains("your own organisation would pay"), "{ran:?}");
        let ran = crate::tests::dayan(fake.environment(), &["offers"]).await;
        assert_eq!(ran.stderr, "", "a buyer's prices are a buyer's");
    }

    #[test]
    fn a_filter_looks_at_what_people_know() {
        let check =
            |filter: &str, expect| assert_eq!(matches(&offer(), filter), expect, "{filter}");
        check("GUIAN", true);
        check("gui'an", true);
        check("H100", false);
        check("off_01h", true);
    }

    #[test]
    fn classes_are_thousandths() {
        assert_eq!(class_arg("internal=600"), Ok(("internal".to_owned(), 600)));
        for bad in ["internal", "=600", "internal=", "internal=-1", "internal=99999999"] {
            assert!(class_arg(bad).is_err(), "{bad}");
        }
    }
}
