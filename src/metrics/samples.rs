//! Values that are read when somebody asks: what was sampled last, and the callbacks that hand it out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::table::{INSTRUMENTS, Instrument, Kind};

/// A value with its attributes.
pub type Sample = (f64, Vec<KeyValue>);

/// The last sample of each instrument that is read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Samples(Arc<Mutex<HashMap<&'static str, Vec<Sample>>>>);

impl Samples {
    pub(super) fn new(meter: &Meter) -> Self {
        let samples = Self(Arc::default());
        for instrument in INSTRUMENTS {
            samples.register(meter, instrument);
        }
        samples
    }

    /// Replaces what an instrument shows. Without values it shows nothing.
    pub fn put(&self, of: &'static Instrument, values: Vec<Sample>) {
        self.all().insert(of.name, values);
    }

    fn register(&self, meter: &Meter, of: &'static Instrument) {
        let samples = self.clone();
        let observe = move |observer: &dyn AsyncInstrument<f64>| {
            for (value, attributes) in samples.all().get(of.name).into_iter().flatten() {
                observer.observe(*value, attributes);
            }
        };
        match of.kind {
            Kind::Gauge => {
                let builder = meter.f64_observable_gauge(of.name);
                builder.with_unit(of.unit).with_description(of.description).with_callback(observe).build();
            }
            Kind::Total => {
                let builder = meter.f64_observable_counter(of.name);
                builder.with_unit(of.unit).with_description(of.description).with_callback(observe).build();
            }
            // They are recorded as things happen.
            Kind::Counter | Kind::Histogram(_) => {}
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<&'static str, Vec<Sample>>> {
        // A panic leaves whole samples.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
