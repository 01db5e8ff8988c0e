//! Rate cards as files: the format, and the presets that every ledger has from the start.

mod file;

use std::path::Path;
use std::sync::OnceLock;

use crate::ledger::RateCard;
use crate::ledger::card::Cards;
use crate::ledger::ids::CardId;

pub use file::{CardFile, FileFault, parse};

/// The files of the presets: each is version 1 of its card in every ledger, for ever. Receipts pin that version, so a
/// preset is never changed; a ledger adds a version instead.
const PRESETS: [&str; 4] = [
    include_str!("presets/prepaid.toml"),
    include_str!("presets/half-hour.toml"),
    include_str!("presets/flat-then-quoted.toml"),
    include_str!("presets/three-lines.toml"),
];

pub fn presets() -> &'static [RateCard] {
    static READ: OnceLock<Vec<RateCard>> = OnceLock::new();
    // A test reads all of them without a fault.
    READ.get_or_init(|| PRESETS.iter().filter_map(|text| parse(text).ok()).map(|file| file.card).collect())
}

pub fn preset(id: &CardId) -> Option<&'static RateCard> {
    presets().iter().find(|card| card.card.id == *id)
}

/// The cards that every ledger has from the start.
pub fn built_in() -> Cards {
    Cards::new(presets().iter().cloned())
}

/// Why a file gives no card.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// As the caller gave it.
        path: String,
        source: std::io::Error,
    },
    #[error("{path} is not a rate card:\n{}", lines(.faults))]
    Faults {
        path: String,
        /// All that is wrong with it.
        faults: Vec<FileFault>,
    },
}

fn lines(faults: &[FileFault]) -> String {
    faults.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n")
}

/// Reads a preset by its name, or a file; reports all faults at once.
pub fn read(name: &str) -> Result<CardFile, ReadError> {
    if let Some(card) = CardId::parse(name).ok().and_then(|id| preset(&id)) {
        return Ok(CardFile { card: card.clone(), warnings: Vec::new() });
    }
    let path = Path::new(name).display().to_string();
    let text = std::fs::read_to_string(name)
        .map_err(|source| ReadError::Unreadable { path: path.clone(), source })?;
    parse(&text).map_err(|faults| ReadError::Faults { path, faults })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::codec::{decode, encode};
    use crate::ledger::hash::stable_hash;

    /// Holds and receipts pin version 1 of each preset: another price list is another version, never a change.
    #[test]
    fn version_1_of_each_preset_stays_what_it_is() {
        let digests: Vec<(String, u64)> =
            presets().iter().map(|card| (card.card.id.to_string(), stable_hash(&[&encode(card)]))).collect();
        let expected = [
            ("prepaid".to_owned(), 17_112_241_602_239_029_120),
            ("half-hour".to_owned(), 4_052_539_253_493_187_243),
            ("flat-then-quoted".to_owned(), 12_989_527_616_855_459_815),
            ("three-lines".to_owned(), 9_719_463_758_601_885_482),
        ];
        assert_eq!(digests, expected);
    }

    #[test]
    fn presets_have_no_faults_and_no_warnings_and_come_back_from_storage() {
        for text in PRESETS {
            let file = parse(text).unwrap();
            assert_eq!(file.warnings, []);
            assert_eq!(file.card.card.version, 1);
            assert_eq!(decode::<RateCard>(&encode(&file.card)), Ok(file.card));
        }
        assert_eq!(presets().len(), PRESETS.len());
    }
}
