//! How a posting stores its detail: the part that the journal keeps for ever, and the texts that can be erased.
//!
//! A detail whose texts are stored separately begins with [`SEPARATED`]; the texts are the posting's words. A detail
//! without texts, or an older one with texts inline, has no such byte and no words. Inline texts cannot be erased.

use super::codec::{DecodeError, TextSource, decode_split, encode_into, encode_split_into};
use super::posting::{Detail, Posting, Texts};
use super::time::Timestamp;

/// The first byte of a detail whose texts are stored separately. No record begins with it: tags of [`Detail`] stay
/// below.
pub const SEPARATED: u8 = 0xff;

/// What is stored beside a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words<'a> {
    /// The posting has no texts, or is an older one with its texts inline.
    None,
    /// The encoded texts.
    Said(&'a [u8]),
    /// Erased at this time.
    Erased(Timestamp),
}

impl Posting {
    /// Replaces the content of both buffers by what is stored. `words` stays empty where no text is stored separately.
    pub fn put_detail(&self, detail: &mut Vec<u8>, words: &mut Vec<u8>) {
        words.clear();
        match self.texts {
            Texts::Inline => encode_into(&self.detail, detail),
            Texts::Separate | Texts::Erased(_) => {
                detail.clear();
                detail.push(SEPARATED);
                encode_split_into(&self.detail, detail, words);
                if words.is_empty() {
                    detail.remove(0);
                }
            }
        }
    }

    /// The posting with its texts erased at `at`; `None` where it has none that can be erased.
    ///
    /// # Errors
    /// [`DecodeError`] where the encoding contradicts itself: a bug.
    pub fn forgotten(&self, at: Timestamp) -> Result<Option<Self>, DecodeError> {
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        self.put_detail(&mut bytes, &mut words);
        if self.texts != Texts::Separate || words.is_empty() {
            return Ok(None);
        }
        let (detail, texts) = read_detail(&bytes, Words::Erased(at))?;
        Ok(Some(Self { detail, texts, ..self.clone() }))
    }
}

/// Reads what [`Posting::put_detail`] gave, or an older version of it.
pub fn read_detail(bytes: &[u8], words: Words<'_>) -> Result<(Detail, Texts), DecodeError> {
    match (bytes, words) {
        ([SEPARATED, rest @ ..], Words::Said(words)) => {
            decode_split(rest, TextSource::Separate(words)).map(|(detail, _)| (detail, Texts::Separate))
        }
        ([SEPARATED, rest @ ..], Words::Erased(at)) => {
            decode_split(rest, TextSource::Erased).map(|(detail, _)| (detail, Texts::Erased(at)))
        }
        ([SEPARATED, ..], Words::None) => Err(DecodeError::MissingField("words")),
        (_, Words::None) => {
            let (detail, has_texts) = decode_split(bytes, TextSource::Inline)?;
            Ok((detail, if has_texts { Texts::Inline } else { Texts::Separate }))
        }
        (_, Words::Said(_) | Words::Erased(_)) => Err(DecodeError::LeftOver),
    }
}
