//! What runs tasks: one trait, [`Engine`], and those who implement it. A process engine whose
//! keeper owns the task processes, one that runs [containers](container) of podman or docker, one
//! that hands them to a [Slurm cluster](slurm), one that makes them pods of a Kubernetes cluster
//! (feature `kubernetes`), and a simulated one, plainly labelled. All stand behind the same trait
//! and the same [`conformance`] suite.
//!
//! Invariants: an attempt is launched at most once, whoever asks and however often; a task whose
//! lease has run out is ended although nobody is left to ask for it; an attempt is reported ended
//! only when nothing of it runs any more. This room knows nothing of the exchange, of prices or
//! of the network.

mod card_energy;
mod clock;
mod command;
mod confine;
pub mod conformance;
#[cfg(feature = "containers")]
pub mod container;
mod energy;
mod engine;
mod enter;
pub mod hosts;
mod journal;
pub mod keeper;
pub mod kubernetes;
mod launch;
mod logs;
mod observation;
mod proc;
mod process;
mod protocol;
mod simulated;
pub mod slurm;
mod sys;
mod waker;

pub use clock::{BootClock, wall_now};
#[cfg(feature = "containers")]
pub use container::ContainerConfig;
pub use engine::{
    Containers, Enforcement, Engine, EngineInfo, EngineKind, Fault, Features, Fence, Placing,
    SiteCount, StartFault,
};
pub use enter::{EnterFault, Entrance, Session, Visit};
pub use kubernetes::KubernetesConfig;
#[cfg(feature = "kubernetes")]
pub use kubernetes::KubernetesEngine;
pub use launch::{
    BootId, BootTime, Devices, GangSeat, Image, ImageNetwork, Isolation, Launch, LeaseEnd, Limits,
    Login, Mount, Network, Program, Pull, Signal, Step, Workdir,
};
pub use observation::{
    Counters, End, LogChunk, Observation, Outcome, Phase, StartFailure, StepRecord, Stream,
};
pub use process::{ProcessConfig, ProcessEngine};
pub use simulated::SimulatedEngine;
pub use slurm::{SlurmConfig, SlurmEngine};
pub use waker::Waker;
