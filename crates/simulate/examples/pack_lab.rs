//! Research.
use std::io::Read;
use dayan_simulate::pack::*;
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let read = |p: &str| { let mut s = String::new(); std::fs::File::open(p).unwrap().read_to_string(&mut s).unwrap(); s };
    let nodes = read_nodes(read("/work/h2/data/openb_node_list_gpu_node.csv").as_bytes()).unwrap();
    let n: u64 = args[0].parse().unwrap();
    let all = [("default",PackPolicy::Default),("firstfit",PackPolicy::FirstFit), ("bestfit",PackPolicy::BestFit), ("dotprod",PackPolicy::DotProd), ("gpupacking",PackPolicy::GpuPacking), ("random",PackPolicy::Random), ("fgd",PackPolicy::Fgd)];
    let which: Vec<&str> = args[1].split(',').collect();
    for p in &args[2..] {
        let pods = read_pods(read(&format!("/work/h2/data/openb_pod_list_{p}.csv")).as_bytes()).unwrap();
        for (name, policy) in all.iter().filter(|(n,_)| which.contains(n)) {
            let r = pack(&nodes, &pods, *policy, &(42..42 + n).collect::<Vec<_>>());
            println!("{p} {name} {:.2}±{:.2} {}", r.mean, r.std, r.seeds.iter().map(|s| format!("{:.2}", s.alloc_pct)).collect::<Vec<_>>().join(" "));
        }
    }
}
