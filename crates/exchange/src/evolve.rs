//! What an event does to the state: the only place where state changes, live and in replay alike.
//! It decides nothing. An event that does not fit the state is a bug of whoever decided, or a
//! journal of another exchange: it stops.

mod learn;
mod money;
mod schedules;
mod work;

use dayan_market::BudgetState;
use dayan_schedule::{Quota, QuotaOf};

use crate::command::{CarbonOf, Weighed};
use crate::event::{Entry, Event};
use crate::ids::accounts;
use crate::state::{Agent, FindingsSeen, JoinsLeft, Pool, Project, State, WEIGHT};

impl State {
    /// Applies all events of an entry.
    pub fn evolve(&mut self, entry: &Entry) {
        for event in &entry.events {
            self.revision += 1;
            self.last_at = self.last_at.max(entry.at);
            self.apply(entry, event);
        }
    }

    fn apply(&mut self, entry: &Entry, event: &Event) {
        match event {
            // The tally that was warned of has counted it already, with the hold.
            // It is for who reads the journal.
            Event::BudgetWarned { .. } | Event::Entered { .. } => {}
            Event::Founded { .. }
            | Event::OrgCreated { .. }
            | Event::UserCreated { .. }
            | Event::RoleSet { .. }
            | Event::UserRemoved { .. }
            | Event::TokenIssued { .. }
            | Event::TokenRevoked { .. }
            | Event::ProjectCreated { .. }
            | Event::BudgetSet { .. }
            | Event::WeightSet { .. }
            | Event::PriorityMostSet { .. }
            | Event::QuotaSet { .. }
            | Event::LicenseSet { .. }
            | Event::Deposited { .. } => self.apply_access(event),
            Event::ProviderApplied { .. }
            | Event::ProviderStatusChanged { .. }
            | Event::Invited { .. }
            | Event::SiteOpened { .. }
            | Event::AgentJoined { .. }
            | Event::PoolShown { .. }
            | Event::PoolStatusChanged { .. }
            | Event::ClosuresSet { .. }
            | Event::CarbonSet { .. }
            | Event::PueSet { .. }
            | Event::Measured { .. }
            | Event::Challenged { .. }
            | Event::ChallengeFailed { .. }
            | Event::ChallengeMet { .. }
            | Event::UsageSigned { .. }
            | Event::SiteCounted { .. }
            | Event::Found { .. }
            | Event::OfferListed { .. }
            | Event::OfferRetired { .. } => self.apply_supply(entry, event),
            Event::SpecStored { .. }
            | Event::JobSubmitted { .. }
            | Event::Appointed { .. }
            | Event::PlacesLapsed { .. }
            | Event::JobPaused { .. }
            | Event::Estimated { .. }
            | Event::DependsOn { .. }
            | Event::NotPromised { .. }
            | Event::MemoryRaised { .. }
            | Event::JobResumed { .. }
            | Event::TasksCancelled { .. }
            | Event::TasksRetried { .. }
            | Event::GangShrunk { .. }
            | Event::GangSettled { .. }
            | Event::JobEnded { .. }
            | Event::JobRetired { .. }
            | Event::QuoteIssued { .. }
            | Event::QuoteLapsed { .. } => self.apply_jobs(entry, event),
            Event::ScheduleMade { .. }
            | Event::SchedulePaused { .. }
            | Event::ScheduleResumed { .. }
            | Event::ScheduleAdvanced { .. }
            | Event::RunsMissed { .. }
            | Event::RunSkipped { .. }
            | Event::ScheduleEnded { .. }
            | Event::ScheduleRetired { .. } => self.apply_schedules(entry, event),
            Event::Leased { .. }
            | Event::Staging { .. }
            | Event::Located { .. }
            | Event::Started { .. }
            | Event::PublishGranted { .. }
            | Event::RoomFreed { .. }
            | Event::StopAsked { .. }
            | Event::Preempted { .. }
            | Event::UsageRecorded { .. }
            | Event::WindowClosed { .. }
            | Event::AttemptEnded { .. }
            | Event::TransfersRetired { .. } => self.apply_leases(entry, event),
        }
    }

    fn apply_access(&mut self, event: &Event) {
        let access = &mut self.access;
        match event {
            Event::Founded { exchange, name, settings } => {
                self.exchange = Some(*exchange);
                self.name.clone_from(name);
                self.settings = *settings;
                for account in accounts::founding() {
                    self.ledger.open(&account);
                }
            }
            Event::OrgCreated { org, credit } => {
                self.ledger.open(&accounts::new_consumer(org.id, *credit));
                access.org_names.insert(org.name.clone(), org.id);
                access.orgs.insert(org.id, org.clone());
            }
            Event::UserCreated { user } => {
                access.users.insert(user.id, user.clone());
            }
            Event::RoleSet { user, role } => {
                access.users.get_mut(user).expect("decided for this user").role = *role;
            }
            Event::UserRemoved { user } => {
                access.users.remove(user);
                for gone in access.tokens.extract_if(.., |_, token| token.user == *user) {
                    access.token_digests.remove(&gone.1.digest);
                }
            }
            Event::TokenIssued { token } => {
                access.token_digests.insert(token.digest, token.id);
                access.tokens.insert(token.id, token.clone());
            }
            Event::TokenRevoked { token } => {
                if let Some(gone) = access.tokens.remove(token) {
                    access.token_digests.remove(&gone.digest);
                }
            }
            Event::ProjectCreated { project, org, path, budget } => {
                let record = Project {
                    id: *project,
                    org: *org,
                    path: path.clone(),
                    budget: BudgetState::new(budget.clone()),
                    weight: WEIGHT,
                    quota: Quota::default(),
                };
                access.project_paths.insert(path.clone(), *project);
                access.projects.insert(*project, record);
            }
            Event::WeightSet { of: Weighed::Org(org), weight } => {
                access.orgs.get_mut(org).expect("decided for this one").weight = *weight;
            }
            Event::PriorityMostSet { org, most } => {
                access.orgs.get_mut(org).expect("decided for this one").priority_most = *most;
            }
            Event::WeightSet { of: Weighed::Project(project), weight } => {
                access.projects.get_mut(project).expect("decided for this one").weight = *weight;
            }
            Event::QuotaSet { of: QuotaOf::Org(org), quota } => {
                access.orgs.get_mut(org).expect("decided for this one").quota = *quota;
            }
            Event::QuotaSet { of: QuotaOf::Project(project), quota } => {
                access.projects.get_mut(project).expect("decided for this one").quota = *quota;
            }
            Event::LicenseSet { name, count: Some(count) } => {
                access.licenses.insert(name.clone(), *count);
            }
            Event::LicenseSet { name, count: None } => {
                access.licenses.remove(name);
            }
            Event::BudgetSet { project, budget } => {
                let record = access.projects.get_mut(project).expect("decided for this project");
                record.budget.relimit(budget.clone());
            }
            // Never forgotten: the bank may say again after a year what it has said before. A
            // payment is 32 bytes, and there are few.
            Event::Deposited { transfer, .. } => self.ledger.apply(transfer),
            _ => unreachable!("sorted by `apply`"),
        }
    }

    fn apply_supply(&mut self, entry: &Entry, event: &Event) {
        let supply = &mut self.supply;
        let attestor = self.exchange.map_or_else(String::new, |exchange| exchange.to_string());
        match event {
            Event::ProviderApplied { provider } => {
                self.ledger.open(&accounts::new_provider(provider.id));
                supply.provider_names.insert(provider.name.clone(), provider.id);
                supply.providers.insert(provider.id, provider.clone());
            }
            Event::ProviderStatusChanged { provider, status } => {
                supply.providers.get_mut(provider).expect("decided for it").status = *status;
            }
            Event::Invited { digest, token } => {
                supply.join_tokens.insert(*digest, token.clone());
            }
            Event::SiteOpened { site } => {
                supply.sites.insert(site.id, site.clone());
            }
            Event::AgentJoined {
                agent,
                provider,
                pool,
                site,
                name,
                crn,
                public_key,
                token,
                invitation,
                more,
                shown,
            } => {
                if *more == 0 {
                    supply.join_tokens.remove(invitation);
                } else if let Some(token) = supply.join_tokens.get_mut(invitation) {
                    token.left = Some(JoinsLeft { key: *public_key, count: *more });
                }
                supply.agent_tokens.insert(*token, *agent);
                supply.agents.insert(
                    *agent,
                    Agent {
                        id: *agent,
                        provider: *provider,
                        pool: *pool,
                        public_key: *public_key,
                        token: *token,
                        revision: 0,
                        joined_at: entry.at,
                        findings: FindingsSeen::default(),
                    },
                );
                supply.pools.insert(
                    *pool,
                    Pool {
                        id: *pool,
                        provider: *provider,
                        site: *site,
                        agent: *agent,
                        name: name.clone(),
                        crn: crn.clone(),
                        status: dayan_identity::Status::Applied,
                        shown: shown.as_ref().clone(),
                        measured: dayan_measure::MeasuredVector::default(),
                        attestations: std::collections::BTreeMap::new(),
                        challenge: None,
                        verified_at: None,
                        doubted_at: None,
                        closures: Vec::new(),
                        grid: None,
                        pue_permille: None,
                        preempted: Vec::new(),
                        record: crate::state::Record::default(),
                        renamed: false,
                        joined_at: entry.at,
                    },
                );
            }
            Event::PoolShown { pool, shown, voided } => {
                let record = supply.pools.get_mut(pool).expect("decided for it");
                if record.shown.inventory != shown.inventory {
                    // What was proven was another inventory; the next challenge proves this one.
                    record.verified_at = None;
                }
                for changed in dayan_identity::compare(&record.shown.inventory, &shown.inventory) {
                    record.attestations.remove(&changed.name);
                }
                let called = |pool: &Pool| -> Vec<String> {
                    crate::partitions::names(pool).into_iter().map(str::to_owned).collect()
                };
                let before = called(record);
                record.shown = shown.as_ref().clone();
                record.renamed = called(record) != before;
                record.doubted_at = None;
                for component in voided {
                    record.measured.void_component(*component, entry.at);
                }
            }
            Event::PoolStatusChanged { pool, status } => {
                supply.pools.get_mut(pool).expect("decided for it").status = *status;
            }
            Event::ClosuresSet { pool, closures } => {
                let record = supply.pools.get_mut(pool).expect("decided for it");
                record.closures.clone_from(closures);
            }
            Event::CarbonSet { of: CarbonOf::Region(region), series } => {
                if let Some(series) = series {
                    supply.grids.insert(region.clone(), series.clone());
                } else {
                    supply.grids.remove(region);
                }
            }
            Event::CarbonSet { of: CarbonOf::Pool(pool), series } => {
                let record = supply.pools.get_mut(pool).expect("decided for it");
                record.grid.clone_from(series);
            }
            Event::PueSet { pool, pue_permille } => {
                let record = supply.pools.get_mut(pool).expect("decided for it");
                record.pue_permille = *pue_permille;
            }
            Event::Measured { pool, values } => {
                let record = supply.pools.get_mut(pool).expect("decided for it");
                for value in values {
                    record.measured.record(value.clone());
                }
            }
            Event::Challenged { pool, challenge } => {
                supply.pools.get_mut(pool).expect("decided for it").challenge = Some(*challenge);
            }
            Event::ChallengeFailed { pool } => {
                let record = supply.pools.get_mut(pool).expect("decided for it");
                record.challenge = None;
                record.verified_at = None;
                record.doubted_at = Some(entry.at);
            }
            Event::ChallengeMet { pool } => {
                let record = supply.pools.get_mut(pool).expect("decided for it");
                record.challenge = None;
                record.verified_at = Some(entry.at);
                record.attest_inventory(&attestor, entry.at);
            }
            // The findings themselves live in the journal and the tables; here they are counted.
            Event::Found { agent, code, .. } => {
                if let Some(record) = supply.agents.get_mut(agent) {
                    record.findings.note(code, entry.at);
                }
            }
            // Signed texts live in the journal; nothing is decided by them.
            // Kept for the tables and for auditors: nothing is decided by them.
            Event::UsageSigned { .. } | Event::SiteCounted { .. } => {}
            Event::OfferListed { offer } => {
                supply.offers.insert(offer.id, offer.as_ref().clone());
            }
            Event::OfferRetired { offer } => {
                supply.offers.remove(offer);
            }
            _ => unreachable!("sorted by `apply`"),
        }
    }
}
