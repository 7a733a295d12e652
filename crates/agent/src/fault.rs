//! Why an agent cannot go on. What passes by itself (an exchange that is away, a keeper that died)
//! is retried and never ends up here.

use std::path::PathBuf;

use dayan_engines::Fault;

/// The agent ends with this.
#[derive(Debug, thiserror::Error)]
pub enum AgentFault {
    /// Its data folder cannot be read or written.
    #[error("{doing}")]
    Data {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another agent works in this folder.
    #[error("another agent uses {0}; give each agent a folder of its own with --data")]
    Busy(PathBuf),
    /// A file of the data folder makes no sense.
    #[error("{path}: {why}; put the file back from a copy, or join anew in an empty folder")]
    State {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It never joined, and has no token to join with.
    #[error(
        "this folder has not joined an exchange; give --join TOKEN, made by `dayan provider invite`"
    )]
    NotJoined,
    /// The join token is no join token.
    #[error("this is not a join token; it looks like dyj1.SECRET.FINGERPRINT")]
    JoinToken,
    /// The address does not go with the token.
    #[error("{0}")]
    Url(String),
    /// The exchange did not take it in, or would not: something it asks for is missing.
    #[error("{0}")]
    JoinRefused(String),
    /// The exchange could not be reached for joining.
    #[error("{0}")]
    Unreachable(String),
    /// The engine cannot be used.
    #[error("the engine cannot be used")]
    Engine(#[from] Fault),
    /// Tasks are to be isolated, and cannot be here.
    #[error(
        "{0}; see that `bwrap --ro-bind / / --unshare-pid --proc /proc true` works for this user (Debian: `apt-get install bubblewrap`), or give --isolation none"
    )]
    Isolation(&'static str),
    /// A thread of the agent ended without being told to.
    #[error("{0} has ended without being told to")]
    Broken(&'static str),
}

impl AgentFault {
    /// The stable dotted code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Data { .. } => "agent.data",
            Self::Busy(_) => "agent.busy",
            Self::State { .. } => "agent.state",
            Self::NotJoined => "agent.not_joined",
            Self::JoinToken => "agent.join_token",
            Self::Url(_) => "agent.url",
            Self::JoinRefused(_) => "agent.join_refused",
            Self::Unreachable(_) => "agent.unreachable",
            Self::Engine(_) => "agent.engine",
            Self::Isolation(_) => "agent.isolation",
            Self::Broken(_) => "agent.broken",
        }
    }

    /// May the same go well later though nobody does anything about it: a file server, a controller or an
    /// exchange is back? What was refused, or is missing, waits for a person.
    pub(crate) const fn passes(&self) -> bool {
        match self {
            Self::Data { .. }
            | Self::Busy(_)
            | Self::Unreachable(_)
            | Self::Engine(
                Fault::Io { .. } | Fault::Unreachable(_) | Fault::Busy(_) | Fault::Protocol(_),
            )
            | Self::Broken(_) => true,
            Self::Engine(Fault::Version { .. } | Fault::Unsupported(_))
            | Self::State { .. }
            | Self::NotJoined
            | Self::JoinToken
            | Self::Url(_)
            | Self::JoinRefused(_)
            | Self::Isolation(_) => false,
        }
    }

    /// A failed read or write of the data folder, with what was being done.
    pub(crate) fn data(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Data { doing, source }
    }
}
