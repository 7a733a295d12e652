//! Messages in English.

use super::Word;

/// A message, with its values' names in braces.
pub const fn text(word: Word) -> &'static str {
    match word {
        // Heads of tables and names of values.
        Word::Accelerator => "accelerator",
        Word::Accounts => "accounts",
        Word::Address => "address",
        Word::Agent => "agent",
        Word::Aliases => "aliases",
        Word::Amount => "amount",
        Word::At => "at",
        Word::AtMost => "at most",
        Word::Attempt => "attempt",
        Word::Attribute => "attribute",
        Word::Balance => "balance",
        Word::Balanced => "balanced",
        Word::Behind => "stands behind",
        Word::Basis => "basis",
        Word::BrokenAt => "broken",
        Word::BuyerClass => "class",
        Word::CarbonTonnes => "CO2, t",
        Word::CardHour => "card·h",
        Word::CardHours => "card-hours",
        Word::CardsAtWork => "cards at work",
        Word::CarbonSaved => "carbon saved",
        Word::CostSaved => "cost saved",
        Word::PriceSaved => "price saved",
        Word::EachAlone => "each alone",
        Word::LateJobs => "late",
        Word::AtOnce => "at once",
        Word::CameTo => "came to",
        Word::CatchUp => "if missed",
        Word::Cards => "cards",
        Word::ChangeMark => "change",
        Word::Differs => "what differs",
        Word::Check => "check",
        Word::Classes => "pay of it",
        Word::Consumers => "consumers",
        Word::CoreHour => "core·h",
        Word::CoreHours => "core-hours",
        Word::CoreSeconds => "core-seconds",
        Word::Cost => "cost",
        Word::DeadlineMisses => "deadlines missed",
        Word::DelayViolations => "delays broken",
        Word::Eflops => "EFLOPS (FP16)",
        Word::GbSeconds => "GB-seconds",
        Word::Cores => "cores",
        Word::Created => "created",
        Word::Credits => "credits",
        Word::Currency => "currency",
        Word::Deadline => "deadline",
        Word::Checkpoint => "checkpoint",
        Word::Carbon => "carbon",
        Word::GramsNow => "CO2 per kWh",
        Word::SaidBy => "said by",
        Word::CleanestHour => "cleanest hour",
        Word::KnownUntil => "known until",
        Word::Overhead => "PUE",
        Word::Closed => "closed",
        Word::Reliability => "reliability",
        Word::QueueAhead => "queue places",
        Word::HeldByOthers => "others hold",
        Word::WaitingThere => "waiting, others / ours",
        Word::Forecast => "ours start by",
        Word::AccountsDiffer => "site's accounts differ",
        Word::SeenAt => "seen",
        Word::StartsBy => "starts by",
        Word::EndsBy => "ends by",
        Word::Debits => "debits",
        Word::Delay => "delay",
        Word::DelayClass => "class",
        Word::DueNext => "due next",
        Word::Earned => "earned",
        Word::Ended => "ended",
        Word::Engine => "engine",
        Word::Exchange => "exchange",
        Word::ExitCode => "exit",
        Word::Gini => "Gini of incomes",
        Word::JobsDone => "jobs done",
        Word::LeastCost => "nobody could pay less than",
        Word::OverBound => "over the bound",
        Word::Policy => "policy",
        Word::Providers => "providers",
        Word::ResidenceViolations => "residence broken",
        Word::Used => "used",
        Word::ExpectedStart => "expected start",
        Word::Expires => "expires",
        Word::Fence => "fence",
        Word::Fabric => "fabric",
        Word::Features => "all nodes have",
        Word::Isolation => "isolation",
        Word::From => "from",
        Word::GbHour => "GB·h",
        Word::Heard => "heard",
        Word::Had => "had",
        Word::Held => "held",
        Word::Id => "id",
        Word::Intact => "intact",
        Word::Invoice => "invoice",
        Word::Issued => "issued",
        Word::Issuer => "issuer",
        Word::Job => "job",
        Word::Jobs => "jobs",
        Word::JobsBefore => "jobs before it",
        Word::Kind => "kind",
        Word::Label => "label",
        Word::LastRun => "last due",
        Word::Layer => "layer",
        Word::Lines => "lines",
        Word::LongestWait => "longest wait, s",
        Word::Mean => "mean",
        Word::MeanSlowdown => "mean slowdown",
        Word::MeanWait => "mean wait, s",
        Word::Measured => "measured",
        Word::Memory => "memory",
        Word::Message => "message",
        Word::Method => "method",
        Word::Minimum => "minimum",
        Word::Spot => "spot",
        Word::Name => "name",
        Word::NewestHash => "newest hash",
        Word::Node => "node",
        Word::Nodes => "nodes",
        Word::Nominal => "nominal",
        Word::Note => "note",
        Word::Offer => "offer",
        Word::OneWay => "one way",
        Word::Order => "order",
        Word::Org => "organisation",
        Word::OrgHad => "org had",
        Word::OrgShare => "org share",
        Word::OrgWeight => "org weight",
        Word::Overlap => "overlap",
        Word::Owner => "owner",
        Word::P99Wait => "p99 wait, s",
        Word::PerDay => "per day",
        Word::PerJob => "per job",
        Word::PerMonth => "per month",
        Word::Period => "period",
        Word::Pool => "pool",
        Word::Pools => "pools",
        Word::Price => "price",
        Word::Project => "project",
        Word::Proven => "proven",
        Word::StandardUnits => "an hour of it",
        Word::Provider => "provider",
        Word::Quote => "quote",
        Word::Reason => "reason",
        Word::Results => "results",
        Word::Refused => "refused",
        Word::ReplayEqual => "replay equals state",
        Word::Registry => "registry",
        Word::ResourceName => "name in full",
        Word::Rhythm => "rhythm",
        Word::Role => "role",
        Word::Rows => "rows",
        Word::Schedule => "schedule",
        Word::Seconds => "seconds",
        Word::Seed => "seed",
        Word::Seen => "seen",
        Word::Share => "share",
        Word::Since => "since",
        Word::Site => "site",
        Word::Spent => "spent",
        Word::Standing => "standing",
        Word::StartP50 => "start P50",
        Word::StartP90 => "start P90",
        Word::Started => "started",
        Word::State => "state",
        Word::Status => "status",
        Word::Subject => "subject",
        Word::Submitted => "submitted",
        Word::Task => "task",
        Word::Tasks => "tasks",
        Word::TasksNow => "tasks now",
        Word::TasksWaiting => "tasks waiting",
        Word::ThisMonth => "this month",
        Word::To => "to",
        Word::Today => "today",
        Word::ToMakeUp => "to make up for",
        Word::Took => "took",
        Word::Total => "total",
        Word::Transfer => "transfer",
        Word::Transfers => "transfers",
        Word::Unit => "unit",
        Word::Up => "up",
        Word::User => "user",
        Word::Utilisation => "processors in use",
        Word::Weight => "weight",
        Word::Workflow => "Workflow",
        Word::ByHour => "by hour",
        Word::WasExpected => "was expected",
        Word::StartBy => "to be in time",
        Word::Lifted => "it must start by {at}, and passes others for it",
        Word::NotLifted => "it must start by {at}, and passes nobody for it",
        Word::TooLate => "it had to start by {at}: it is not expected to be, and passes nobody",
        Word::SoftDeadlinesMet => "soft deadlines met",
        Word::EstimatesHeld => "estimates held",
        Word::CpusHeld => "cpus held",
        Word::MemoryHeld => "memory held",
        Word::CardsHeld => "accelerators held",
        Word::Waited => "waited",
        Word::WhatToDo => "what to do",
        // Parts of messages.
        Word::Error => "error",
        Word::Help => "help",
        Word::Request => "request",
        Word::KindJob => "job",
        Word::KindOrg => "organisation",
        Word::KindFile => "file",
        Word::KindPool => "pool",
        Word::KindProject => "project",
        Word::KindProvider => "provider",
        Word::KindSchedule => "schedule",
        Word::KindUser => "user",
        Word::DeadlineMet => "met",
        Word::PoolCloses => {
            "{name} is closed until {until}; `dayan pool show {name}` tells all of it"
        }
        Word::PoolReopened => "{name} is not closed any more",
        Word::WouldBePromised => "promised if submitted now: starts by {from},\nends by {until}",
        Word::WouldCost => "and would cost {price} at most, at the prices of those hours",
        Word::OrderedBy => "ordered by {order} (* by the job): the first difference decides",
        Word::PlanWarns => "note: {message}",
        Word::PlanIsTheSame => "it is still the plan ({rows} rows of the journal since)",
        Word::PlanIsAnother => "it is another plan now ({rows} rows of the journal since)",
        Word::Was => "was",
        Word::Now => "now",
        Word::WouldEmit => "and would emit {grams} in those hours",
        Word::DeadlineMissed => "missed",
        Word::Pinned => "pinned by its fingerprint",
        Word::ByAuthority => "vouched for by an authority",
        Word::ThisMachine => "this machine, no TLS needed",
        // What was done.
        Word::NothingHere => "There is nothing to show.",
        Word::TwoPlaces => "Delays are between places: name two at least.",
        Word::PricesAreYours => {
            "These are the prices that your own organisation would pay: its class's share of the list price."
        }
        Word::LoggedIn => "Logged in to {exchange} as {org}/{name} ({role}).",
        Word::RegistryKept => "For {project}, {registry} is asked by a login kept in {file}.",
        Word::RegistryOfNobody => {
            "No agent has joined an exchange from {folder} yet; --data names the folder of the one that is meant."
        }
        Word::RegistryRemoved => "For {project}, {registry} is asked without a login again.",
        Word::JobEnded => "{job}: {state}, {spent} {currency}",
        Word::Cancelled => "Taken back: {job}",
        Word::AlreadyEnded => "{job} had already ended ({state}); there is nothing to take back.",
        Word::Retried => "Will run again: {job}",
        Word::Paused => "Paused: {job}",
        Word::Resumed => "Goes on: {job}",
        Word::ScheduleCancelled => {
            "Ended: {id}. What it has made goes on; take that back by its own id."
        }
        Word::SchedulePaused => "Paused: {id}. What is due meanwhile is left out.",
        Word::ScheduleResumed => "Runs again from its next time on: {id}",
        Word::WillRun => {
            "A schedule: it is due next at {next}. See its runs with `dayan show {id}`."
        }
        Word::Retired => "No longer listed: {what}",
        Word::NowIs => "{name} is now {state}.",
        Word::Challenged => {
            "{name} has been asked to prove its inventory; `dayan pool show` will say when it has."
        }
        Word::Invited => {
            "This token is good for one agent until {until}. On the provider's machine: dayan agent --url {url} --engine process --site CITY --join TOKEN"
        }
        Word::Deposited => "{amount} booked for {org}.",
        Word::DepositedBefore => {
            "Nothing booked for {org}: the payment `{reference}` was booked before."
        }
        Word::TokenIssued => "The secret of {id}, shown this once:",
        Word::Revoked => "Ended: {id}",
        Word::RoleSet => "{user} is {role} from now on.",
        Word::UserRemoved => "{user} is removed, and its tokens have ended.",
        Word::CarbonSet => "{name}: carbon of {hours} hours is known.",
        Word::CarbonRemoved => {
            "{name}: what is known of a wider region counts again, or the yearly average."
        }
        Word::PueSet => "{name} draws {pue} for each part that reaches its machines.",
        Word::LicenseSet => "Licences {name}: {count}.",
        Word::LicenseRemoved => "{name} is not counted any more.",
        Word::InUse => "in use",
        Word::QuotaSet => "{name} may hold at most (cpus / memory / accelerators): {quota}.",
        Word::PriorityMostSet => "Jobs of {org} may have the priority {most} at most from now on.",
        Word::WeightSet => "{name} has the weight {weight} from now on.",
        Word::BudgetSet => "Limits of {project} are set.",
        Word::BackedUp => "Written on the server's machine to {dir}.",
        Word::Restored => {
            "{dir} now holds the exchange up to journal row {seq}. Put what the books do not hold there too: exchange.key (server.key and server.crt, where it made them itself), and, if projects keep files or secrets here, store/ and secrets.key. Then run `dayan serve --data {dir}`."
        }
        Word::ServingAt => {
            "The exchange answers at {url}; its data is in {data}. The operator's first token: dayan login {url}{fingerprint} --token - < {token}"
        }
        Word::ServingAgain => "The exchange answers at {url}; its data is in {data}.",
        Word::NewKey => {
            "A new key was made in {path}; quotes signed before cannot be verified with it."
        }
        Word::JournalDamaged => {
            "The rows before it hold, and nothing was changed. Stop the exchange and restore the newest backup: dayan restore BACKUP --data NEWDIR"
        }
        Word::Stopped => "Stopped.",
        Word::AgentStarts => "The agent works for {url}; its data is in {data}.",
        Word::AgentRemembers => "As before: {options}. An option given again replaces {file}'s.",
        Word::AgentPool => "It offers the pool {pool}.",
        Word::AgentPartitionLeftOut => "The partition {partition} is left out: {why}.",
        Word::AgentPartitionUnknown => {
            "there is no partition {partition}; there are: {names}. Slurm does not show a partition to who is in none \
             of its groups (AllowGroups). Name some of these with --slurm-partition, or leave it out for all that \
             you may use"
        }
        Word::AgentOnePool => {
            "this folder belongs to the pool of one partition; for several give another folder with --data, \
             or name one with --slurm-partition"
        }
        Word::AskingSlurm => "asking Slurm for its partitions",
        Word::AgentStopped => {
            "The agent has stopped; its tasks go on under their keeper until their leases end."
        }
        Word::Measuring => {
            "Measuring for about half a minute; other work on this machine would lower the values."
        }
        Word::MeasuringQuickly => "Measuring for a few seconds.",
        Word::DemoStarts => "An exchange on this machine at {url}; everything is kept in {dir}.",
        Word::DemoAgentsJoin => {
            "Three providers and four consumers are in; the providers' agents join."
        }
        Word::DemoPool => "  {pool} in {site}: cores on offer: {cpus}.",
        Word::DemoWorkBegins => {
            "Jobs are submitted: a forecast, a film shot, a sweep of 500 points, a tyre every few seconds."
        }
        Word::DemoProgress => "  ended: {line}",
        Word::DemoStays => {
            "The exchange stays until you interrupt it. Look around: dayan login {url} --token - < {token}"
        }
        Word::DemoAgain => "Open it again with: dayan serve --data {dir}",
        // What tables cannot say.
        Word::WhyItWaits => "It waits because:",
        Word::WouldHelp => "What would help:",
        Word::Relaxation => {
            "another `{key}`: it alone keeps {pools} more from taking it ({example})"
        }
        Word::RelaxationOfPool => "`{key}` alone keeps {pools} more from taking it ({example})",
        Word::WouldBeRefused => "Submitted now it would be refused ({code}):",
        Word::WouldRun => "The price is that of one run. Submitted now it would be due next at:",
        Word::MoreAttempts => {
            "The newest {shown} attempts are shown; `dayan show {job} -o json` has all of them."
        }
        Word::MoreLines => {
            "{shown} of {all} lines are shown; `dayan invoice get {id} --format json` has all of them."
        }
        Word::NoCandidate => "No pool takes this job.",
        Word::NoPoolYet => {
            "No pool has joined this exchange yet. An operator invites a provider (dayan provider invite), its machine joins (dayan agent --join TOKEN), and its pool is offered at a price (dayan offer create)."
        }
        // In pictures.
        Word::PlotReplay => "{log}: {jobs} jobs on {processors} processors",
        Word::PlotFirstWindow => {
            "Waits of all {windows} windows; the other charts show the first one, which begins at job {start}"
        }
        Word::PlotBusiestDays => {
            "Jobs one by one: where the log is long, the two days in which most work waited"
        }
        Word::PlotNothing => "Nothing to draw",
        Word::PlotUse => "Use of the machine",
        Word::PlotWaits => "Waits: how many jobs waited no longer",
        Word::PlotJobs => "which job ran when",
        Word::PlotTime => "Since the first submission",
        Word::PlotUsed => "Processors at work",
        Word::PlotWait => "Wait",
        Word::PlotShareOfJobs => "Share of all jobs",
        Word::PlotProcessors => "Processors",
        Word::PlotWaited => "waited {time}",
        Word::PlotPacking => "Cards at work as pods arrive: {pods}",
        Word::PlotSeeds => "Mean of {seeds} orders of arrival",
        Word::PlotFromEmpty => "From an empty cluster on",
        Word::PlotAtTheEnd => "Where cards run out",
        Word::PlotArrived => "Cards asked for so far, of all cards",
        Word::PlotShifting => "{jobs} jobs that may wait, by {file}",
        Word::PlotSeed => "Seed {seed}",
        Word::PlotJobsByHour => "Jobs at once, by the hour of the day",
        Word::PlotGrid => "The grid, by the hour of the day",
        Word::PlotAgainstDelay => "Carbon saved by each job against its delay",
        Word::PlotHourOfDay => "Hour of the day",
        Word::PlotJobsAtOnce => "Jobs at once",
        Word::PlotGrams => "g CO2 per kWh",
        Word::PlotDelay => "Delay of its end, hours",
        Word::PlotShifted => "shifted",
        Word::PlotUnshifted => "not shifted",
        Word::PlotMarket => {
            "{scenario}: {jobs} jobs of {consumers} consumers at {providers} providers; days: {days}"
        }
        Word::PlotMarketUse => "Use over time",
        Word::PlotCostAgainstWait => "Cost against delay, by who places",
        Word::PlotTasksAt => "Which task ran when: {pool}, {shown} of {all} machines",
        Word::PlotSinceStart => "Since the beginning",
        Word::PlotCoresAtWork => "Cores at work, of all cores",
        Word::PlotMeanWait => "Mean wait of a job",
        Word::PlotOverBound => "Cost over the least possible",
        Word::PlotCards => "Cards",
        Word::PlotCores => "Cores",
        Word::PlotAtWork => "Cards at work, of all cards",
        // Wrong calls.
        Word::NoAddress => {
            "no exchange is known; run `dayan login URL --token T` or set DAYAN_URL and DAYAN_TOKEN"
        }
        Word::NoToken => {
            "a token is needed: `--token T`, `--token -` to read it from standard input, or DAYAN_TOKEN"
        }
        Word::NoPassword => "the password is read from standard input, and there was none",
        Word::RegistryUnknown => {
            "no login is kept for {registry} and {project}; see `dayan agent registry ls`"
        }
        Word::NoHome => "there is no place for the configuration; set HOME or XDG_CONFIG_HOME",
        Word::BadUrl => {
            "`{url}` is not the address of an exchange; it is like https://exchange.example:8443"
        }
        Word::BadFingerprint => {
            "a fingerprint is 64 hexadecimal digits, the SHA-256 of the server's certificate"
        }
        Word::BadConfig => {
            "{file} cannot be understood ({why}); correct it or run `dayan login` again"
        }
        Word::BadJob => "`{text}` names no job; write JOB, JOB/TASK or JOB/TASK.ATTEMPT",
        Word::NoAttemptHere => "`{text}` names an attempt; name the job or the task",
        Word::NoTaskHere => "`{text}` names a task; this is done with whole jobs",
        Word::NoEndToWaitFor => {
            "the file has a `schedule`: there is no end to wait for; submit it without --wait"
        }
        Word::NoRetryOfSchedule => "{id} is a schedule; retry the job of one of its runs",
        Word::NewestOf => "{count} jobs are called `{name}`; this is the newest, {job}.",
        Word::Hopeless => {
            "No pool here can take it as it is, so it waits: {reasons}. See `dayan explain {job}`."
        }
        Word::SeeWhy => "See why: dayan show {job}, and dayan logs {job}/TASK --stderr.",
        Word::AmbiguousJob => "several jobs are called `{name}`; use an id: {ids}",
        Word::Ambiguous => "more than one {kind} is called `{name}`; use an id: {ids}",
        Word::Unknown => "there is no {kind} `{name}` that you can see",
        Word::CannotRead => "{file} cannot be read: {why}",
        Word::ScriptNotRead => {
            "{file} is a script without `#SBATCH` or `#DAYAN` lines; add some, or name it like `job.sbatch`"
        }
        Word::LogGap => "{size} of the output are not kept, from byte {from} on",
        Word::NotStartedYet => "{job} has not been started yet; its output follows",
        Word::WithoutEffect => "{file}, line {line}: `{option}` has no effect: {why}",
        Word::NoPictureThere => {
            "{file} is there and is no picture; name another file, or remove it"
        }
        Word::LinesLeftOut => "{used} of {read} lines are jobs: {why}",
        Word::LeftOut => "`{option}` is left out, because no pool lets jobs say it: {why}",
        Word::NoFileInPlan => {
            "{file} does not hold the job file that it is for; save the plan again"
        }
        Word::NoJobFile => "name a job file",
        Word::NoSavedPlan => "{file} is no plan saved with `dayan plan FILE -o json`: {why}",
        Word::NoDataHome => "there is no place for data; name one with `--data DIR`",
        Word::NoDataFolder => "{dir} is no folder",
        Word::DemoFolderTaken => {
            "{dir} is not empty; name a new folder, or open an exchange that is in it with `dayan serve`"
        }
        Word::DemoPrograms => {
            "the jobs' programs are not in {dir} ({missing}); `make demo` builds them, or `cargo build --release -p dayan-examples`"
        }
        Word::MarketBroken => {
            "something in the market is not as it must be: this is a defect of the program, not of the scenario"
        }
        Word::PackedOver => {
            "a node was given more than it has: this is a defect of the policy, not of the lists"
        }
        Word::ShiftedWrong => {
            "the run broke a rule: this is a defect of the policy, not of the series"
        }
        Word::PricesNeeded => "`--prefer price` chooses by prices: name them with `--prices`",
        Word::SeriesMade => {
            "{file}: {filled} half-hours of short gaps are filled with the line between their ends, {doubled} rows of a moment that had one are averaged, {empty} rows have no value"
        }
        Word::JobListMade => {
            "{file}: of {rows} jobs {rounded} are rounded to half-hours (starts down, lengths up); {empty} that took no time and {beyond} that end after the series are left out; put off by {days} days"
        }
        Word::PartYear => "{file} holds no whole year; the {days} days from {from} on are replayed",
        Word::NoRoomAtOnce => {
            "{why}; let more run at once with `--capacity`, or have fewer `--jobs`"
        }
        Word::ListUnused => "`{option}` is not used: no work of the scenario has `{key} = true`",
        Word::UnpaidJobs => "not paid for",
        Word::NothingPlaced => {
            "no node of {nodes} has cards for a pod of {pods}: nothing can be placed, and nothing is bounded"
        }
        Word::PricesEnd => "{file} does not hold the whole time of the carbon series",
        Word::EasyPlusPlusFills => {
            "easy++ is an order with a backfilling of its own, by events; leave `--backfill` and `--discipline` out"
        }
        Word::HarnessBackfill => {
            "the harness knows no conservative backfilling: give --backfill none or easy, or --discipline event"
        }
        // What the world did.
        Word::Unreachable => "no answer from {url}: {why}",
        Word::UnreachableHelp => "check the address and the network; `dayan doctor` looks at both",
        Word::NoAnswerInTime => "it did not answer in time",
        Word::NotAnExchange => "{url} does not answer like an exchange: {why}",
        Word::SubmitAgain => {
            "It is not known whether the job has arrived. This sends it again without submitting it twice: --key {key}"
        }
        Word::UnexpectedCertificate => {
            "the server shows the certificate {seen}; if that is right, log in again with `--fingerprint {seen}`"
        }
        Word::SpeaksPlain => "this address speaks plain HTTP: try http:// instead of https://",
        Word::SpeaksTls => "this address speaks TLS: try https:// instead of http://",
        Word::UnknownAuthority => {
            "no authority vouches for this server; ask its operator for the fingerprint and run `dayan login URL --fingerprint HEX`"
        }
        Word::ExecTalking => "talking to the command",
        Word::PreparingTls => "preparing TLS",
        Word::ReadingFile => "reading {file}",
        Word::WritingFile => "writing {file}",
        Word::WritingOutput => "writing to standard output",
        Word::StartingUp => "starting up",
        Word::Serving => "the exchange has ended",
        Word::DemoTooSlow => "the demo has not ended within {s} s; what there is stays",
        Word::DemoAgentFailed => "the agent of {pool} does not work; see {log}",
        Word::DemoJobFile => "a job file of the demo",
        // Data and secrets.
        Word::By => "by",
        Word::Sha256 => "sha256",
        Word::Size => "size",
        Word::BadDataAddress => {
            "`{text}` is no address in the data store; write it like dayan://studio-a/film-3/scenes/a.blend (a project of more parts ends with a double slash)"
        }
        Word::DataDamaged => "{address} did not arrive as it should; fetch it again",
        Word::DataGot => "Fetched {files} files, {bytes}.",
        Word::DataKept => "{project} keeps {files} files, {bytes} of at most {most}.",
        Word::DataRemoved => "Removed {files} files.",
        Word::DataSent => "{files} files are in {address}; {sent} were sent, the rest was there.",
        Word::LeftOutAway => {
            "{path} is left out: it leads out of the folder; copy what it means there"
        }
        Word::LeftOutBack => "{path} is left out: it leads back to a folder that it lies in",
        Word::LeftOutNoBytes => "{path} is left out: it is no file and no folder",
        Word::LeftOutNowhere => "{path} is left out: it leads to nothing that can be read",
        Word::SecretRemoved => "{project} has no secret `{name}` any more.",
        Word::SecretSet => "The secret `{name}` of {project} is set.",
        Word::Uploaded => "{from} goes along as {to}",
        Word::Copied => "copied",
        // Doctor.
        Word::DoctorLogin => "run `dayan login URL --token T`",
        Word::DoctorReach => {
            "check the address, the network between, and that `dayan serve` runs there"
        }
        Word::DoctorToken => "ask your operator for a new token, then run `dayan login`",
        Word::DoctorTls => "the token goes over the network in the clear; use https",
        Word::DoctorNoDate => "the server's answer has no date; a proxy between may have taken it",
        Word::DoctorClock => "set the clocks of both machines with NTP",
        Word::DoctorDisk => "make room, or use a folder on another disk",
        Word::DoctorFiles => {
            "raise the limit for an exchange or agent with many tasks: `ulimit -n 65536`"
        }
        Word::DoctorCgroups => {
            "without control groups an agent watches memory by itself; let it use cgroup v2 with cpu, memory and pids"
        }
    }
}
