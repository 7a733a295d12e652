//! The ledger against an independent model: a plain list of everything accepted, from which each
//! balance, hold and answer is computed anew, every time.
//!
//! The model shares no code with the ledger. It collects *all* that is wrong with a transfer and
//! answers the first by precedence, so it also holds the ledger's early returns to their order.

use dayan_ledger::{
    Account, AccountId, AccountKind, AccountStatus, Amount, Ledger, NewAccount, Rest, Status,
    Transfer, TransferKind,
};
use dayan_units::{Micro, Time, TransferId};
use proptest::prelude::*;

#[derive(Clone, Default)]
struct Model {
    accounts: Vec<(NewAccount, bool)>,
    accepted: Vec<Transfer>,
    retired: Vec<TransferId>,
}

/// What the list says of a hold.
struct HoldSeen {
    debit: AccountId,
    credit: AccountId,
    held: i128,
    captured: i128,
    until: Option<Time>,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Totals {
    debits_pending: i128,
    debits_posted: i128,
    credits_pending: i128,
    credits_posted: i128,
}

const MAX: i128 = i64::MAX as i128;

fn micro(amount: Amount) -> i128 {
    i128::from(amount.micro().0)
}

impl Model {
    fn hold(&self, id: TransferId) -> Option<HoldSeen> {
        let mut seen = self.accepted.iter().find_map(|t| match t.kind {
            TransferKind::Hold { debit, credit, amount, until } if t.id == id => Some(HoldSeen {
                debit,
                credit,
                held: micro(amount),
                captured: 0,
                until,
                ended: false,
            }),
            TransferKind::Hold { .. }
            | TransferKind::Post { .. }
            | TransferKind::Capture { .. }
            | TransferKind::Release { .. }
            | TransferKind::Extend { .. } => None,
        })?;
        for t in &self.accepted {
            match t.kind {
                TransferKind::Capture { hold, amount, rest } if hold == id => {
                    seen.captured += micro(amount);
                    seen.ended |= rest == Rest::Release;
                }
                TransferKind::Extend { hold, amount, until } if hold == id => {
                    seen.held += micro(amount);
                    seen.until = until;
                }
                TransferKind::Release { hold } if hold == id => seen.ended = true,
                TransferKind::Capture { .. }
                | TransferKind::Extend { .. }
                | TransferKind::Release { .. }
                | TransferKind::Post { .. }
                | TransferKind::Hold { .. } => {}
            }
        }
        Some(seen)
    }

    fn totals(&self, account: AccountId) -> Totals {
        let mut totals = Totals::default();
        let mut add = |debit, credit, pending, posted| {
            if debit == account {
                totals.debits_pending += pending;
                totals.debits_posted += posted;
            }
            if credit == account {
                totals.credits_pending += pending;
                totals.credits_posted += posted;
            }
        };
        for t in &self.accepted {
            match t.kind {
                TransferKind::Post { debit, credit, amount } => {
                    add(debit, credit, 0, micro(amount));
                }
                TransferKind::Hold { .. } => {
                    let hold = self.hold(t.id).expect("accepted");
                    let left = if hold.ended { 0 } else { hold.held - hold.captured };
                    add(hold.debit, hold.credit, left, hold.captured);
                }
                TransferKind::Capture { .. }
                | TransferKind::Release { .. }
                | TransferKind::Extend { .. } => {}
            }
        }
        totals
    }

    fn known(&self, id: AccountId) -> Option<&(NewAccount, bool)> {
        self.accounts.iter().find(|(new, _)| new.id == id)
    }

    fn answer(&self, t: &Transfer) -> Result<(), Status> {
        let mut wrong = Vec::new();
        let remembered = |id| {
            let accepted = self.accepted.iter().find(|known| known.id == id);
            accepted.filter(|_| !self.retired.contains(&id))
        };
        if let Some(known) = remembered(t.id) {
            let same = Transfer { at: t.at, ..*known } == *t;
            wrong.push(if same { Status::Exists } else { Status::ExistsDifferent });
        }
        let mut moved = None;
        let mut end = None;
        match t.kind {
            TransferKind::Post { debit, credit, amount } => moved = Some((debit, credit, amount)),
            TransferKind::Hold { debit, credit, amount, until } => {
                moved = Some((debit, credit, amount));
                end = until;
            }
            TransferKind::Capture { hold: id, .. }
            | TransferKind::Release { hold: id }
            | TransferKind::Extend { hold: id, .. } => match (remembered(id), self.hold(id)) {
                (None, _) => wrong.push(Status::HoldUnknown),
                (Some(_), None) => wrong.push(Status::NotAHold),
                (Some(_), Some(hold)) if hold.ended => wrong.push(Status::HoldEnded),
                (Some(_), Some(hold)) => {
                    let expired = hold.until.is_some_and(|until| until <= t.at);
                    match t.kind {
                        TransferKind::Capture { amount, .. } => {
                            if expired {
                                wrong.push(Status::HoldExpired);
                            }
                            if hold.captured + micro(amount) > hold.held {
                                wrong.push(Status::OverHold);
                            }
                        }
                        TransferKind::Extend { amount, until, .. } => {
                            if expired {
                                wrong.push(Status::HoldExpired);
                            }
                            moved = Some((hold.debit, hold.credit, amount));
                            end = until;
                        }
                        TransferKind::Release { .. }
                        | TransferKind::Post { .. }
                        | TransferKind::Hold { .. } => {}
                    }
                }
            },
        }
        if end.is_some_and(|end| end <= t.at) {
            wrong.push(Status::UntilPassed);
        }
        if let Some((debit, credit, amount)) = moved {
            if debit == credit {
                wrong.push(Status::SameAccount);
            }
            match self.known(debit) {
                None => wrong.push(Status::DebitUnknown),
                Some((account, closed)) => {
                    let of = self.totals(debit);
                    let debits = of.debits_pending + of.debits_posted + micro(amount);
                    if *closed {
                        wrong.push(Status::DebitClosed);
                    }
                    if debits > MAX {
                        wrong.push(Status::DebitsOverflow);
                    }
                    let floor = account.floor.map(|floor| i128::from(floor.0));
                    if floor.is_some_and(|floor| of.credits_posted - debits < floor) {
                        wrong.push(Status::BelowFloor);
                    }
                }
            }
            match self.known(credit) {
                None => wrong.push(Status::CreditUnknown),
                Some((_, closed)) => {
                    let of = self.totals(credit);
                    if *closed {
                        wrong.push(Status::CreditClosed);
                    }
                    if of.credits_pending + of.credits_posted + micro(amount) > MAX {
                        wrong.push(Status::CreditsOverflow);
                    }
                }
            }
        }
        wrong.into_iter().min().map_or(Ok(()), Err)
    }

    fn answer_linked(&self, chain: &[Transfer]) -> Result<(), (usize, Status)> {
        let mut after = self.clone();
        for (place, t) in chain.iter().enumerate() {
            after.answer(t).map_err(|status| (place, status))?;
            after.accepted.push(*t);
        }
        Ok(())
    }

    fn same_as(&self, ledger: &Ledger) -> Result<(), TestCaseError> {
        for (new, closed) in &self.accounts {
            let account = ledger.account(new.id).expect("opened");
            let totals = Totals {
                debits_pending: i128::from(account.debits_pending.0),
                debits_posted: i128::from(account.debits_posted.0),
                credits_pending: i128::from(account.credits_pending.0),
                credits_posted: i128::from(account.credits_posted.0),
            };
            prop_assert_eq!(totals, self.totals(new.id), "account {}", new.id);
            prop_assert_eq!((account.floor, account.closed), (new.floor, *closed));
        }
        let open: Vec<_> = self
            .accepted
            .iter()
            .filter_map(|t| Some((t.id, self.hold(t.id).filter(|hold| !hold.ended)?)))
            .collect();
        prop_assert_eq!(ledger.holds().len(), open.len());
        for (id, hold) in open {
            let found = ledger.hold(id).expect("open");
            prop_assert_eq!(i128::from(found.left().0), hold.held - hold.captured);
            prop_assert_eq!(found.until, hold.until);
        }
        Ok(())
    }
}

/// A step, its ids small numbers so that they meet.
#[derive(Clone, Debug)]
enum Step {
    One(Transfer),
    /// The same, with the hold that was made at that place (modulo) in place of its own.
    OnHold(usize, Transfer),
    Linked(Vec<Transfer>),
    /// A chain; each member that needs a hold takes the one made at that place (modulo), by the
    /// chain itself or before it.
    LinkedOnHolds(Vec<(usize, Transfer)>),
    /// The transfer accepted at that place (modulo), again, later.
    Again(usize),
    Open {
        id: u128,
        floor: Option<i64>,
    },
    Close(u128),
    Floor {
        id: u128,
        floor: Option<i64>,
    },
    Retire(Vec<u128>),
}

const ACCOUNTS: u128 = 6;
const IDS: u128 = 60;

fn any_amount() -> impl Strategy<Value = Amount> {
    let near_max = (0i64..3).prop_map(|less| i64::MAX - less);
    let half = (0i64..3).prop_map(|more| i64::MAX / 2 + more);
    prop_oneof![40 => 1i64..60, 1 => near_max, 2 => half]
        .prop_map(|amount| Amount::new(Micro(amount)).expect("positive"))
}

fn any_transfer() -> impl Strategy<Value = Transfer> {
    // One id over: an account that is never opened.
    let account = || (0..=ACCOUNTS).prop_map(AccountId::from_bits);
    let transfer = || (0..IDS).prop_map(TransferId::from_bits);
    let until = || proptest::option::weighted(0.3, (0i64..140).prop_map(Time::from_micros));
    let rest = prop_oneof![3 => Just(Rest::Keep), 1 => Just(Rest::Release)];
    let kind = prop_oneof![
        3 => (account(), account(), any_amount())
            .prop_map(|(debit, credit, amount)| TransferKind::Post { debit, credit, amount }),
        4 => (account(), account(), any_amount(), until()).prop_map(
            |(debit, credit, amount, until)| TransferKind::Hold { debit, credit, amount, until }
        ),
        4 => (transfer(), any_amount(), rest)
            .prop_map(|(hold, amount, rest)| TransferKind::Capture { hold, amount, rest }),
        1 => transfer().prop_map(|hold| TransferKind::Release { hold }),
        3 => (transfer(), any_amount(), until())
            .prop_map(|(hold, amount, until)| TransferKind::Extend { hold, amount, until }),
    ];
    (transfer(), kind, 0u16..2, 0u128..2, 0i64..100).prop_map(|(id, kind, code, user_data, at)| {
        Transfer { id, kind, code, user_data, at: Time::from_micros(at) }
    })
}

/// One that has a good chance of being accepted, so that chains come to their end.
fn plain_transfer() -> impl Strategy<Value = Transfer> {
    (any_transfer(), 1i64..4, 0u128..4, 1u128..4).prop_map(|(mut t, small, from, step)| {
        let small = Amount::new(Micro(small)).expect("positive");
        let parties = (AccountId::from_bits(from), AccountId::from_bits((from + step) % 4));
        match &mut t.kind {
            TransferKind::Post { debit, credit, amount }
            | TransferKind::Hold { debit, credit, amount, .. } => {
                (*debit, *credit) = parties;
                *amount = small;
            }
            TransferKind::Capture { amount, .. } | TransferKind::Extend { amount, .. } => {
                *amount = small;
            }
            TransferKind::Release { .. } => {}
        }
        t
    })
}

fn any_floor() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![2 => Just(None), 1 => Just(Some(0)), 3 => (-200i64..20).prop_map(Some)]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => any_transfer().prop_map(Step::One),
        20 => (any::<usize>(), any_transfer()).prop_map(|(place, t)| Step::OnHold(place, t)),
        6 => proptest::collection::vec(any_transfer(), 1..5).prop_map(Step::Linked),
        9 => proptest::collection::vec((any::<usize>(), plain_transfer()), 2..6)
            .prop_map(Step::LinkedOnHolds),
        2 => any::<usize>().prop_map(Step::Again),
        1 => (0..ACCOUNTS, any_floor()).prop_map(|(id, floor)| Step::Open { id, floor }),
        1 => (0..ACCOUNTS).prop_map(Step::Close),
        1 => (0..ACCOUNTS, any_floor()).prop_map(|(id, floor)| Step::Floor { id, floor }),
        1 => proptest::collection::vec(0..IDS, 0..6).prop_map(Step::Retire),
    ]
}

fn account(id: u128, floor: Option<i64>) -> NewAccount {
    let kind = AccountKind { code: 1, label: id };
    NewAccount { id: AccountId::from_bits(id), kind, floor: floor.map(Micro) }
}

fn hold_made(t: &Transfer) -> Option<TransferId> {
    matches!(t.kind, TransferKind::Hold { .. }).then_some(t.id)
}

/// Makes a transfer that needs a hold refer to one of these.
fn name_hold(t: &mut Transfer, holds: &[TransferId], place: usize) {
    if let (
        Some(place),
        TransferKind::Capture { hold, .. }
        | TransferKind::Release { hold }
        | TransferKind::Extend { hold, .. },
    ) = (place.checked_rem(holds.len()), &mut t.kind)
    {
        *hold = holds[place];
    }
}

struct Pair {
    ledger: Ledger,
    model: Model,
    /// Which answers were met, so that the test can say that it met them.
    met: std::collections::BTreeSet<Option<Status>>,
    /// How many chains of more than one member were accepted.
    chains: usize,
}

impl Pair {
    fn new() -> Self {
        let (ledger, model) = (Ledger::new(), Model::default());
        Self { ledger, model, met: std::collections::BTreeSet::new(), chains: 0 }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let Self { ledger, model, met, chains } = self;
        match step {
            Step::One(t) => {
                let answer = ledger.check(&t);
                prop_assert_eq!(answer, model.answer(&t), "{:?}", t);
                met.insert(answer.err());
                if answer.is_ok() {
                    ledger.apply(&t);
                    model.accepted.push(t);
                }
            }
            Step::OnHold(place, mut t) => {
                let holds: Vec<_> = self.model.accepted.iter().filter_map(hold_made).collect();
                name_hold(&mut t, &holds, place);
                return self.step(Step::One(t));
            }
            Step::LinkedOnHolds(members) => {
                let mut holds: Vec<_> = self.model.accepted.iter().filter_map(hold_made).collect();
                let mut chain = Vec::new();
                for (place, mut t) in members {
                    // Those of the chain itself come last and are wanted most.
                    let recent = holds.len().saturating_sub(4);
                    name_hold(&mut t, &holds[recent..], place);
                    holds.extend(hold_made(&t));
                    chain.push(t);
                }
                return self.step(Step::Linked(chain));
            }
            Step::Linked(chain) => {
                let before = ledger.clone();
                let answer = ledger.check_linked(&chain);
                prop_assert_eq!(answer, model.answer_linked(&chain), "{:?}", chain);
                prop_assert_eq!(&before, &*ledger, "a check changes nothing");
                met.insert(answer.err().map(|(_, status)| status));
                if answer.is_ok() {
                    ledger.apply_linked(&chain);
                    *chains += usize::from(chain.len() > 1);
                    model.accepted.extend(&chain);
                    let again = ledger.check_linked(&chain);
                    prop_assert_eq!(again, Err((0, Status::Exists)));
                }
            }
            Step::Again(place) => {
                if let Some(place) = place.checked_rem(model.accepted.len()) {
                    let first = model.accepted[place];
                    let later =
                        Transfer { at: first.at.plus(dayan_units::Span::from_secs(9)), ..first };
                    if !model.retired.contains(&first.id) {
                        prop_assert_eq!(ledger.check(&later), Err(Status::Exists));
                        met.insert(Some(Status::Exists));
                        let other = Transfer { user_data: first.user_data + 5, ..later };
                        prop_assert_eq!(ledger.check(&other), Err(Status::ExistsDifferent));
                    }
                }
            }
            Step::Open { id, floor } => {
                let new = account(id, floor);
                let expect = match model.known(new.id) {
                    Some((known, _)) if *known == new => Err(AccountStatus::Exists),
                    Some(_) => Err(AccountStatus::ExistsDifferent),
                    None if floor.is_some_and(|floor| floor > 0) => Err(AccountStatus::BelowFloor),
                    None => Ok(()),
                };
                prop_assert_eq!(ledger.check_open(&new), expect);
                if expect.is_ok() {
                    ledger.open(&new);
                    model.accounts.push((new, false));
                }
            }
            Step::Close(id) => {
                let id = AccountId::from_bits(id);
                let involved = model.accepted.iter().any(|t| {
                    let hold = model.hold(t.id).filter(|hold| !hold.ended);
                    hold.is_some_and(|hold| hold.debit == id || hold.credit == id)
                });
                let expect = match model.known(id) {
                    None => Err(AccountStatus::Unknown),
                    Some((_, true)) => Err(AccountStatus::Exists),
                    Some(_) if involved => Err(AccountStatus::Pending),
                    Some(_) => Ok(()),
                };
                prop_assert_eq!(ledger.check_close(id), expect);
                if expect.is_ok() {
                    ledger.close(id);
                    let known = model.accounts.iter_mut().find(|(new, _)| new.id == id);
                    known.expect("known").1 = true;
                }
            }
            Step::Floor { id, floor } => {
                let id = AccountId::from_bits(id);
                let floor = floor.map(Micro);
                let of = model.totals(id);
                let available = of.credits_posted - of.debits_posted - of.debits_pending;
                let expect = match model.known(id) {
                    None => Err(AccountStatus::Unknown),
                    Some((known, _)) if known.floor == floor => Err(AccountStatus::Exists),
                    Some((_, true)) => Err(AccountStatus::Closed),
                    Some(_) if floor.is_some_and(|floor| available < i128::from(floor.0)) => {
                        Err(AccountStatus::BelowFloor)
                    }
                    Some(_) => Ok(()),
                };
                prop_assert_eq!(ledger.check_floor(id, floor), expect);
                if expect.is_ok() {
                    ledger.move_floor(id, floor);
                    let known = model.accounts.iter_mut().find(|(new, _)| new.id == id);
                    known.expect("known").0.floor = floor;
                }
            }
            Step::Retire(ids) => {
                let ids: Vec<_> = ids.into_iter().map(TransferId::from_bits).collect();
                ledger.retire(ids.iter().copied());
                for id in ids {
                    let open = model.hold(id).is_some_and(|hold| !hold.ended);
                    let was = model.accepted.iter().any(|t| t.id == id);
                    if was && !open && !model.retired.contains(&id) {
                        model.retired.push(id);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The ids of a run are used once retired ones are out of the way: the model's list knows a
/// transfer by its id, so a retired id must not be used again.
fn reuses_retired(model: &Model, step: &Step) -> bool {
    let retired = |t: &Transfer| model.retired.contains(&t.id);
    match step {
        Step::One(t) | Step::OnHold(_, t) => retired(t),
        Step::Linked(chain) => chain.iter().any(retired),
        Step::LinkedOnHolds(members) => members.iter().any(|(_, t)| retired(t)),
        Step::Again(_)
        | Step::Open { .. }
        | Step::Close(_)
        | Step::Floor { .. }
        | Step::Retire(_) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_model_predicts_every_answer_and_every_balance(
        floors in proptest::collection::vec(any_floor(), ACCOUNTS as usize - 1),
        steps in proptest::collection::vec(any_step(), 50..250),
    ) {
        let mut pair = Pair::new();
        for (id, floor) in (0..).zip(floors) {
            pair.step(Step::Open { id, floor })?;
        }
        for step in steps {
            if reuses_retired(&pair.model, &step) {
                continue;
            }
            pair.step(step)?;
            pair.model.same_as(&pair.ledger)?;
        }
        let Pair { ledger, model, .. } = pair;

        // The books balance in themselves and against what was accepted.
        let report = ledger.audit(&model.accepted);
        prop_assert!(report.balanced, "{:?}", report.differences);
        prop_assert_eq!(report.debits, report.credits);
        prop_assert_eq!(report.transfers, model.accepted.len() as u64);

        // Written down and read back they are the same, and written down again the same text.
        let text = serde_json::to_string(&ledger).expect("text");
        let back: Ledger = serde_json::from_str(&text).expect("sound books");
        prop_assert_eq!(&back, &ledger);
        prop_assert_eq!(serde_json::to_string(&back).expect("text"), text);

        // One transfer left out does not go unseen.
        if let Some((_, but_the_last)) = model.accepted.split_last() {
            prop_assert!(!ledger.audit(but_the_last).balanced);
        }
    }
}

/// One long run, and the proof that a run meets every answer there is.
#[test]
fn thousands_of_steps_meet_every_status() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut met = std::collections::BTreeSet::new();
    let mut chains = 0;
    // The model's time grows with the cube of its list, so many lists instead of a long one.
    for _ in 0..40 {
        let mut pair = Pair::new();
        for id in 0..ACCOUNTS - 1 {
            let floor = if id < 2 { None } else { Some(-500) };
            pair.step(Step::Open { id, floor }).expect("the model and the ledger agree");
        }
        for _ in 0..200 {
            let step = any_step().new_tree(&mut runner).expect("a step").current();
            if !reuses_retired(&pair.model, &step) {
                pair.step(step).expect("the model and the ledger agree");
            }
        }
        pair.model.same_as(&pair.ledger).expect("the model and the ledger agree");
        met.extend(pair.met);
        chains += pair.chains;
    }
    let missing: Vec<_> =
        Status::ALL.into_iter().map(Some).chain([None]).filter(|one| !met.contains(one)).collect();
    assert_eq!(missing, [], "never met");
    assert!(chains >= 100, "only {chains} chains were accepted");
}

fn post(id: u128, debit: u128, credit: u128, amount: i64) -> Transfer {
    Transfer {
        id: TransferId::from_bits(id),
        kind: TransferKind::Post {
            debit: AccountId::from_bits(debit),
            credit: AccountId::from_bits(credit),
            amount: Amount::new(Micro(amount)).expect("positive"),
        },
        code: 0,
        user_data: 0,
        at: Time::EPOCH,
    }
}

fn two_accounts() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.open(&account(1, None));
    ledger.open(&account(2, Some(0)));
    ledger
}

#[test]
fn a_hold_is_captured_per_window_extended_and_released() {
    let mut ledger = two_accounts();
    let step = |ledger: &mut Ledger, id, kind, at| {
        let t = Transfer { kind, at: Time::from_micros(at), ..post(id, 0, 0, 1) };
        let answer = ledger.check(&t);
        if answer.is_ok() {
            ledger.apply(&t);
        }
        answer
    };
    let amount = |micro| Amount::new(Micro(micro)).expect("positive");
    let hold = TransferId::from_bits(10);
    let (debit, credit) = (AccountId::from_bits(2), AccountId::from_bits(1));
    let until = |at| Some(Time::from_micros(at));
    ledger.apply(&post(1, 1, 2, 100));

    let first = TransferKind::Hold { debit, credit, amount: amount(60), until: until(10) };
    assert_eq!(step(&mut ledger, 10, first, 0), Ok(()));
    assert_eq!(ledger.account(debit).map(Account::available), Some(Micro(40)));
    assert_eq!(ledger.account(credit).map(Account::posted), Some(Micro(-100)));

    let capture = |micro, rest| TransferKind::Capture { hold, amount: amount(micro), rest };
    assert_eq!(step(&mut ledger, 11, capture(60, Rest::Keep), 9), Ok(()));
    assert_eq!(step(&mut ledger, 12, capture(1, Rest::Keep), 9), Err(Status::OverHold));
    let more = |micro| TransferKind::Extend { hold, amount: amount(micro), until: until(20) };
    assert_eq!(step(&mut ledger, 13, more(41), 9), Err(Status::BelowFloor));
    assert_eq!(step(&mut ledger, 13, more(40), 9), Ok(()));
    assert_eq!(ledger.expired(Time::from_micros(19)).count(), 0);
    assert_eq!(step(&mut ledger, 14, capture(5, Rest::Release), 20), Err(Status::HoldExpired));
    assert_eq!(ledger.expired(Time::from_micros(20)).collect::<Vec<_>>(), [hold]);
    assert_eq!(step(&mut ledger, 14, capture(5, Rest::Release), 19), Ok(()));

    assert_eq!(ledger.account(debit).map(Account::available), Some(Micro(35)));
    assert_eq!(ledger.expired(Time::NEVER).count(), 0);
    let release = TransferKind::Release { hold };
    assert_eq!(step(&mut ledger, 15, release, 19), Err(Status::HoldEnded));
    ledger.retire([hold]);
    assert_eq!(step(&mut ledger, 15, release, 19), Err(Status::HoldUnknown));
    assert!(ledger.books_check().balanced);
}

#[test]
fn a_chain_may_spend_what_it_brings() {
    let ledger = two_accounts();
    let (pay_in, pay_out) = (post(1, 1, 2, 50), post(2, 2, 1, 50));
    assert_eq!(ledger.check(&pay_out), Err(Status::BelowFloor));
    assert_eq!(ledger.check_linked(&[pay_in, pay_out]), Ok(()));
    assert_eq!(ledger.check_linked(&[pay_out, pay_in]), Err((0, Status::BelowFloor)));
    assert_eq!(ledger.check_linked(&[pay_in, pay_in]), Err((1, Status::Exists)));
    assert_eq!(ledger.check_linked(&[]), Ok(()));
}

#[test]
#[should_panic(expected = "applied unchecked")]
fn what_was_not_accepted_is_not_applied() {
    two_accounts().apply(&post(1, 2, 1, 50));
}

#[test]
fn forged_books_are_not_read() {
    let mut ledger = two_accounts();
    ledger.apply(&post(1, 1, 2, 50));
    let text = serde_json::to_string(&ledger).expect("text");
    let check = |from: &str, to: &str, expect: &str| {
        let forged = text.replacen(from, to, 1);
        assert_ne!(forged, text, "{from}");
        let error = serde_json::from_str::<Ledger>(&forged).expect_err("forged");
        assert!(error.to_string().contains(expect), "{error}");
    };
    check("\"debits_posted\":50", "\"debits_posted\":49", "sum of credits posted");
    check("\"debits_posted\":50", "\"debits_posted\":-50", "totals within their range");
    check("\"credits_pending\":0", "\"credits_pending\":1", "credits pending");
    let hold = r#""holds":[["tra_0000000000000000000000000a",{"debit":"00000000000000000000000000000001","credit":"00000000000000000000000000000002","held":0,"captured":0,"until":null,"code":0,"user_data":"00000000000000000000000000000000"}]]"#;
    check("\"holds\":[]", hold, "a hold that no transfer made");
}
