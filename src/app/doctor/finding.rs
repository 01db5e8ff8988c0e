//! One line of `doctor`.

use std::fmt;

use serde_json::{Value, json};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ok,
    /// It works, and will not for ever, or not for everybody.
    Warn,
    /// A server would not start, or not do its work.
    Fail,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub state: State,
    /// Which check found it.
    check: &'static str,
    what: String,
    /// What to do; empty where nothing has to be done.
    to_do: String,
}

impl Finding {
    pub fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { state: State::Ok, check, what: what.into(), to_do: String::new() }
    }

    pub fn warn(check: &'static str, what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { state: State::Warn, check, what: what.into(), to_do: to_do.into() }
    }

    pub fn fail(check: &'static str, what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { state: State::Fail, check, what: what.into(), to_do: to_do.into() }
    }

    pub fn to_json(&self) -> Value {
        let Self { state, check, what, to_do } = self;
        json!({ "state": state.name(), "check": check, "what": what, "to_do": to_do })
    }
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, check, what, to_do } = self;
        write!(f, "{:4} {check:13} {what}", state.name())?;
        if to_do.is_empty() { Ok(()) } else { write!(f, "\n{:18} -> {to_do}", "") }
    }
}
