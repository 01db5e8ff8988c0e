//! How long calls take, by system, method and status.

use std::collections::HashMap;
use std::sync::{OnceLock, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Histogram};

/// The protocol by which a caller calls, under the names of the conventions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallSystem {
    Grpc,
    Connect,
}

impl CallSystem {
    /// The value of `rpc.system.name`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Connect => "connectrpc",
        }
    }
}

/// The status of nearly all calls.
const OK: &str = "OK";

/// The durations of calls. Those that end well are bound, each method at its first call.
#[derive(Debug)]
pub struct Calls {
    durations: Histogram<f64>,
    bound: RwLock<HashMap<&'static str, [OnceLock<BoundHistogram<f64>>; 2]>>,
}

impl Calls {
    pub(super) fn new(durations: Histogram<f64>) -> Self {
        Self { durations, bound: RwLock::default() }
    }

    /// A call has ended. `method` is one of this program's, so that there are few.
    pub fn ended(&self, system: CallSystem, method: &'static str, status: &'static str, took: Duration) {
        let seconds = took.as_secs_f64();
        if status != OK {
            self.durations.record(seconds, &attributes(system, method, status));
        } else if !self.record_bound(system, method, seconds) {
            // A poisoned lock would only mean that another thread panicked here; the next call tries again.
            if let Ok(mut bound) = self.bound.write() {
                bound.entry(method).or_default();
            }
            if !self.record_bound(system, method, seconds) {
                self.durations.record(seconds, &attributes(system, method, OK));
            }
        }
    }

    fn record_bound(&self, system: CallSystem, method: &'static str, seconds: f64) -> bool {
        let Ok(bound) = self.bound.read() else { return false };
        let Some([grpc, connect]) = bound.get(method) else { return false };
        let slot = match system {
            CallSystem::Grpc => grpc,
            CallSystem::Connect => connect,
        };
        slot.get_or_init(|| self.durations.bind(&attributes(system, method, OK))).record(seconds);
        true
    }
}

fn attributes(system: CallSystem, method: &'static str, status: &'static str) -> [KeyValue; 3] {
    // In the order of their names, which saves sorting them.
    [
        KeyValue::new("rpc.method", method),
        KeyValue::new("rpc.response.status_code", status),
        KeyValue::new("rpc.system.name", system.name()),
    ]
}
