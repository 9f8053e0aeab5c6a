//! The kinds of errors: stable words and exit statuses.

use std::fmt;

/// What kind of failure it was: stable words with stable exit statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No pct at `pct_path`, or the node cannot be reached.
    PctNotAvailable,
    /// The connection to the node was lost; the error says whether the command may have run.
    ConnectionLost,
    /// No host of the API could be reached: nothing was sent.
    ApiUnreachable,
    /// The server is not trusted, or does not speak TLS.
    ApiUntrusted,
    /// The API refuses the token, the ticket or the password.
    ApiUnauthenticated,
    /// The API answered, but could not reach the node (595, 596, 599).
    NodeUnreachable,
    /// pct could not be run to its end, or failed for a reason that no other kind names.
    PctCommandFailed,
    /// The task ended in an error.
    PctOperationFailed,
    /// What pct printed could not be understood.
    PctInvalidOutput,
    /// The time-out passed.
    PctTimeout,
    /// Not root, or a 403 of Proxmox.
    PctPermissionDenied,
    /// No such container, snapshot, volume or template.
    NotFound,
    /// The id or name is taken.
    AlreadyExists,
    /// The container is already running.
    AlreadyRunning,
    /// The container is not running.
    NotRunning,
    /// The configuration has a `lock:`, or another command holds its lock file.
    Locked,
    /// `protection: 1` forbids it.
    Protected,
    /// The configuration was changed meanwhile (digest).
    Conflict,
    /// The cluster cannot decide.
    NoQuorum,
    /// A value breaks the schema; pct was not started.
    InvalidArgument,
    /// Virtual machines, or a verb that the backend cannot do.
    Unsupported,
    /// Some of a bulk run failed.
    Partial,
    /// The settings cannot be read or understood.
    InvalidSettings,
    /// A file or stream on this side failed.
    Io,
}

impl ErrorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 24] = [
        Self::PctNotAvailable,
        Self::ConnectionLost,
        Self::ApiUnreachable,
        Self::ApiUntrusted,
        Self::ApiUnauthenticated,
        Self::NodeUnreachable,
        Self::PctCommandFailed,
        Self::PctOperationFailed,
        Self::PctInvalidOutput,
        Self::PctTimeout,
        Self::PctPermissionDenied,
        Self::NotFound,
        Self::AlreadyExists,
        Self::AlreadyRunning,
        Self::NotRunning,
        Self::Locked,
        Self::Protected,
        Self::Conflict,
        Self::NoQuorum,
        Self::InvalidArgument,
        Self::Unsupported,
        Self::Partial,
        Self::InvalidSettings,
        Self::Io,
    ];

    /// Returns the stable word, as `--output json` prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PctNotAvailable => "pct_not_available",
            Self::ConnectionLost => "connection_lost",
            Self::ApiUnreachable => "api_unreachable",
            Self::ApiUntrusted => "api_untrusted",
            Self::ApiUnauthenticated => "api_unauthenticated",
            Self::NodeUnreachable => "node_unreachable",
            Self::PctCommandFailed => "pct_command_failed",
            Self::PctOperationFailed => "pct_operation_failed",
            Self::PctInvalidOutput => "pct_invalid_output",
            Self::PctTimeout => "pct_timeout",
            Self::PctPermissionDenied => "pct_permission_denied",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::AlreadyRunning => "already_running",
            Self::NotRunning => "not_running",
            Self::Locked => "locked",
            Self::Protected => "protected",
            Self::Conflict => "conflict",
            Self::NoQuorum => "no_quorum",
            Self::InvalidArgument => "invalid_argument",
            Self::Unsupported => "unsupported",
            Self::Partial => "partial",
            Self::InvalidSettings => "invalid_settings",
            Self::Io => "io",
        }
    }

    /// Returns the exit status of the command `pvect` for this kind.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::PctCommandFailed | Self::PctOperationFailed | Self::Io => 1,
            Self::InvalidArgument | Self::InvalidSettings => 2,
            Self::NotFound => 3,
            Self::AlreadyExists
            | Self::AlreadyRunning
            | Self::NotRunning
            | Self::Locked
            | Self::Protected
            | Self::Conflict => 4,
            Self::PctPermissionDenied | Self::ApiUnauthenticated => 5,
            Self::PctTimeout => 6,
            Self::PctNotAvailable
            | Self::ConnectionLost
            | Self::ApiUnreachable
            | Self::ApiUntrusted
            | Self::NodeUnreachable
            | Self::NoQuorum => 7,
            Self::PctInvalidOutput => 8,
            Self::Unsupported => 9,
            Self::Partial => 10,
        }
    }

    /// Returns when this kind is used, for the documentation and `pvect help errors`.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::PctNotAvailable => "no pct at pct_path, or the node cannot be reached",
            Self::ConnectionLost => {
                "the connection to the node was lost; the error says whether the command may have run"
            }
            Self::ApiUnreachable => "no host of the API could be reached; nothing was sent",
            Self::ApiUntrusted => "the API's certificate is not trusted, or the port does not speak TLS",
            Self::ApiUnauthenticated => "the API refuses the token, the ticket or the password",
            Self::NodeUnreachable => "the API answered, but could not reach the node (595, 596, 599)",
            Self::PctCommandFailed => {
                "pct could not be run to its end (signal, spawn error), or failed for a reason not listed here"
            }
            Self::PctOperationFailed => "the task ended in an error; its text and log are in the error",
            Self::PctInvalidOutput => "what pct printed could not be understood; the raw text is kept",
            Self::PctTimeout => "the time-out passed; the error says what was left behind",
            Self::PctPermissionDenied => "not root, or 403 of Proxmox",
            Self::NotFound => "no such container, snapshot, volume or template",
            Self::AlreadyExists => "the id or name is taken",
            Self::AlreadyRunning => "the container is already running",
            Self::NotRunning => "the container is not running",
            Self::Locked => "the configuration is locked, or another command holds its lock file",
            Self::Protected => "protection is on for the container",
            Self::Conflict => "the configuration was changed by somebody else meanwhile (digest)",
            Self::NoQuorum => "the cluster cannot decide: no quorum",
            Self::InvalidArgument => "a value breaks the schema: found before pct is started",
            Self::Unsupported => {
                "virtual machines (pct manages containers only), or a verb the backend cannot do"
            }
            Self::Partial => "some containers of a bulk run failed",
            Self::InvalidSettings => "the settings file cannot be read or understood",
            Self::Io => "a file or stream on this side failed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
