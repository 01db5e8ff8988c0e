//! What a posting stores of its detail: what the journal keeps for ever, and beside it the words that can be erased.
//!
//! A detail whose texts lie aside begins with [`ASIDE`], which says as well that the posting has words. One that says
//! nothing is stored as ever, and so are older ones, whose texts stand where their fields are and cannot be erased.

use super::codec::{DecodeError, TextSource, decode_aside, encode_aside_into, encode_into};
use super::posting::{Detail, Posting, Texts};
use super::time::Timestamp;

/// The first byte of a detail whose texts lie aside. No record begins with it: tags of [`Detail`] stay below.
pub const ASIDE: u8 = 0xff;

/// What is stored beside a posting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words<'a> {
    /// Nothing: it said nothing, or is an older one.
    None,
    /// What was said.
    Said(&'a [u8]),
    /// Erased at this time.
    Erased(Timestamp),
}

impl Posting {
    /// Replaces what is in `detail` and `words` by what is stored; no words where it has none to be stored aside.
    pub fn put_detail(&self, detail: &mut Vec<u8>, words: &mut Vec<u8>) {
        words.clear();
        match self.texts {
            Texts::Inline => encode_into(&self.detail, detail),
            Texts::Aside | Texts::Erased(_) => {
                detail.clear();
                detail.push(ASIDE);
                encode_aside_into(&self.detail, detail, words);
                if words.is_empty() {
                    detail.remove(0);
                }
            }
        }
    }

    /// It with its words erased at `at`; `None` where it has none that can be.
    ///
    /// # Errors
    /// [`DecodeError`] where the encoding contradicts itself: a bug.
    pub fn forgotten(&self, at: Timestamp) -> Result<Option<Self>, DecodeError> {
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        self.put_detail(&mut bytes, &mut words);
        if self.texts != Texts::Aside || words.is_empty() {
            return Ok(None);
        }
        let (detail, texts) = read_detail(&bytes, Words::Erased(at))?;
        Ok(Some(Self { detail, texts, ..self.clone() }))
    }
}

/// Reads what [`Posting::put_detail`] gave, or an older version of it.
///
/// # Errors
/// [`DecodeError`] where the bytes are not such, or the words do not belong to them.
pub fn read_detail(bytes: &[u8], words: Words<'_>) -> Result<(Detail, Texts), DecodeError> {
    match (bytes, words) {
        ([ASIDE, rest @ ..], Words::Said(words)) => {
            decode_aside(rest, TextSource::Beside(words)).map(|(detail, _)| (detail, Texts::Aside))
        }
        ([ASIDE, rest @ ..], Words::Erased(at)) => {
            decode_aside(rest, TextSource::Erased).map(|(detail, _)| (detail, Texts::Erased(at)))
        }
        ([ASIDE, ..], Words::None) => Err(DecodeError::MissingField("words")),
        (_, Words::None) => {
            let (detail, has_texts) = decode_aside(bytes, TextSource::Inline)?;
            Ok((detail, if has_texts { Texts::Inline } else { Texts::Aside }))
        }
        (_, Words::Said(_) | Words::Erased(_)) => Err(DecodeError::LeftOver),
    }
}
