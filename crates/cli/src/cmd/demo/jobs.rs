//! The four consumers and their job files, sized to the machine: what one of the example job files
//! asks of a whole core is here a share of what the sites have.

use dayan_units::MilliCpu;

/// A consumer of the demo.
pub struct Consumer {
    /// Its organisation.
    pub org: &'static str,
    /// Its project.
    pub project: &'static str,
    /// What it pays in.
    pub money: &'static str,
}

/// The consumers.
pub const CONSUMERS: [Consumer; 4] = [
    Consumer { org: "studio-a", project: "studio-a/film-3", money: "200.00 CNY" },
    Consumer { org: "gz-meteo", project: "gz-meteo/ops", money: "100.00 CNY" },
    Consumer { org: "tyre-works", project: "tyre-works/qc", money: "50.00 CNY" },
    Consumer { org: "lab-n", project: "lab-n/fluids", money: "50.00 CNY" },
];

/// A site of the demo: who, where, which share of the machine, at what price.
pub struct Site {
    /// The provider's slug, also its organisation's.
    pub provider: &'static str,
    /// The city.
    pub city: &'static str,
    /// Its share of the machine's cores and memory, in thousandths. Together they are one machine.
    pub share_permille: u64,
    /// CNY for a core-hour.
    pub core_hour: &'static str,
    /// CNY for a GB-hour.
    pub gb_hour: &'static str,
}

/// The sites: power is cheap in Gui'an, and capacity follows it.
pub const SITES: [Site; 3] = [
    Site {
        provider: "guian-dc",
        city: "Gui'an",
        share_permille: 600,
        core_hour: "0.12",
        gb_hour: "0.01",
    },
    Site {
        provider: "shenzhen-dc",
        city: "Shenzhen",
        share_permille: 200,
        core_hour: "0.24",
        gb_hour: "0.02",
    },
    Site {
        provider: "hangzhou-dc",
        city: "Hangzhou",
        share_permille: 200,
        core_hour: "0.21",
        gb_hour: "0.02",
    },
];

/// A share of the cores, as a job file writes it.
fn cpus(cores: MilliCpu, permille: u64) -> String {
    // Cores are thousandths: a share rounded down fits where the whole was shared out.
    MilliCpu((cores.0 * permille / 1_000).max(10)).to_string()
}

/// A film studio: 48 frames of one shot, rendered near the coast where its editors are.
pub fn film(cores: MilliCpu) -> String {
    format!(
        "version: 1
name: dusk-shot-01
type: batch
project: studio-a/film-3
array: {{range: 1-48, chunk: 2}}
resources: {{cpus: {}, memory: 256MB, time: 5m}}
placement: {{regions: [Guangdong, Zhejiang]}}
outputs: [{{from: out/, to: data://film/dusk-shot-01/}}]
run: dayan-render --shot-frames 48 --out out
retry: {{max: 3, when: [node_failure, preempted, site_lost, oom]}}
market: {{mode: on_demand, max_price: 20.00 CNY}}
",
        cpus(cores, 200)
    )
}

/// A weather office: three ranks exchange borders; late is worthless.
pub fn forecast(cores: MilliCpu) -> String {
    format!(
        "version: 1
name: forecast-8km
type: batch
project: gz-meteo/ops
gang: {{nodes: 3, same: [site]}}
deadline: {{finish_within: 3m, kind: hard}}
resources: {{cpus: {}, memory: 256MB, time: 2m}}
placement: {{regions: [Guizhou]}}
outputs: [{{from: out/, to: data://forecast/}}]
run: dayan-forecast --hours 24 --every 6 --out out
retry: {{max: 1, when: [node_failure, site_lost]}}
market: {{mode: on_demand, max_price: 20.00 CNY}}
prefer: [deadline, price]
",
        cpus(cores, 100)
    )
}

/// A laboratory: 500 state points of a fluid.
pub fn sweep(cores: MilliCpu) -> String {
    format!(
        "version: 1
name: lj-sweep
type: batch
project: lab-n/fluids
priority: low
array: {{range: 0-499, max_parallel: 4}}
resources: {{cpus: {}, memory: 64MB, time: 1m}}
run: dayan-nbody
retry: {{max: 3, when: [node_failure, preempted, site_lost, oom]}}
market: {{mode: on_demand, max_price: 20.00 CNY}}
",
        cpus(cores, 100)
    )
}

/// A tyre works: one X-ray picture is inspected near the plant; an answer later than 2 s is no use.
pub fn tyre(cores: MilliCpu, number: u32) -> String {
    format!(
        "version: 1
name: tyre-{number:03}
type: batch
project: tyre-works/qc
priority: high
deadline: {{finish_within: 2s, kind: soft}}
env: {{TYRE: \"{number}\"}}
network: {{delay: {{class: T2, from: [city:Guiyang], percentile: 99, on_breach: warn}}}}
resources: {{cpus: {}, memory: 128MB, time: 30s}}
outputs: [{{from: out/, to: data://tyres/}}]
run: dayan-tyre --seeds $TYRE --out out
retry: {{max: 0}}
market: {{mode: on_demand, max_price: 1.00 CNY}}
",
        cpus(cores, 200)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_files_parse_on_small_and_large_machines() {
        for cores in [2_000, 16_000, 256_000] {
            let cores = MilliCpu(cores);
            for text in [film(cores), forecast(cores), sweep(cores), tyre(cores, 7)] {
                dayan_spec::parse(&text).unwrap_or_else(|errors| panic!("{errors}"));
            }
        }
    }

    #[test]
    fn the_sites_share_one_machine() {
        assert_eq!(SITES.iter().map(|site| site.share_permille).sum::<u64>(), 1_000);
    }
}
