//! One look at a provider's keys, for whoever asks whether they can be had.

use super::key_set::KeySet;
use super::provider::Provider;
use super::source::Source;

/// Fetches the keys of a provider once, and counts those that serve. It has no time-out: callers bound the time.
///
/// # Errors
/// Why there are none, as a text for people.
pub async fn probe(provider: &Provider) -> Result<usize, String> {
    let fetched = Source::of(&provider.keys)?.fetch().await.map_err(|error| error.to_string())?;
    let set = KeySet::read(&fetched.body, &provider.algorithms).map_err(|error| error.to_string())?;
    Ok(set.count())
}
