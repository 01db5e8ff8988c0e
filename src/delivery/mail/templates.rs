//! The templates of messages: built-in ones in English, and those of a directory in their place.
//!
//! An event has three files: `balance.low.subject`, `balance.low.txt` and `balance.low.html`. A file in the directory
//! itself replaces the built-in one of its name. A subfolder named after a language (`pt-BR`, `pt`) has the files for
//! that language; it needs all three of an event, so that no message is half translated. All templates are parsed and
//! tried at the start, so that the operator meets a mistake, and not the first customer that it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use minijinja::{Environment, UndefinedBehavior};

use super::facts::{EVENTS, Facts};
use super::link::Link;
use super::message::{Content, one_line};
use crate::ledger::event::EventType;
use crate::ledger::{CustomerId, LedgerId};

/// The parts of a message, as the endings of files.
const PARTS: [&str; 3] = ["subject", "txt", "html"];
/// The largest template that is read.
const BYTES_MAX: u64 = 256 << 10;

/// The files of an event are in the order of [`PARTS`].
const BUILT_IN: [(EventType, [&str; 3]); 3] = [
    (
        EventType::BalanceLow,
        [
            include_str!("built_in/balance.low.subject"),
            include_str!("built_in/balance.low.txt"),
            include_str!("built_in/balance.low.html"),
        ],
    ),
    (
        EventType::BalanceDepleted,
        [
            include_str!("built_in/balance.depleted.subject"),
            include_str!("built_in/balance.depleted.txt"),
            include_str!("built_in/balance.depleted.html"),
        ],
    ),
    (
        EventType::CreditsShortfall,
        [
            include_str!("built_in/credits.shortfall.subject"),
            include_str!("built_in/credits.shortfall.txt"),
            include_str!("built_in/credits.shortfall.html"),
        ],
    ),
];

/// What is wrong with a directory of templates.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A file or the directory is not there or not readable.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Of the file or the directory.
        path: String,
        source: std::io::Error,
    },
    /// A template does not parse, or cannot be filled in.
    #[error("{path} line {line}: {problem}")]
    Template {
        path: String,
        /// From 1.
        line: usize,
        problem: String,
    },
    /// A file or folder that does not belong there.
    #[error("{path} {problem}")]
    Name {
        path: String,
        /// Continues the path.
        problem: String,
    },
}

/// All templates, ready to be filled in.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// The events that each language has templates for. Languages are in lower case; the empty one is the default.
    sets: BTreeSet<(String, &'static str)>,
}

impl Templates {
    /// Loads the built-in templates, with those of a directory in their place.
    ///
    /// # Errors
    /// [`TemplateError`] for the first file that is wrong, by name.
    pub fn load(directory: Option<&Path>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut templates = Self { environment, sets: BTreeSet::new() };
        let own = directory.map(files).transpose()?.unwrap_or_default();
        for (event, parts) in BUILT_IN {
            for (part, built_in) in PARTS.into_iter().zip(parts) {
                if !own.contains_key(&(String::new(), event.name(), part)) {
                    let path = Path::new("built in").join(format!("{}.{part}", event.name()));
                    templates.add("", event, part, &path, built_in)?;
                }
            }
        }
        for ((language, name, part), path) in &own {
            let Some(event) = EVENTS.into_iter().find(|event| event.name() == *name) else { continue };
            let missing = PARTS.into_iter().find(|part| !own.contains_key(&(language.clone(), *name, *part)));
            if let Some(missing) = missing.filter(|_| !language.is_empty()) {
                let problem =
                    format!("has no {name}.{missing} beside it: the three of a language come together");
                return Err(TemplateError::Name { path: path.display().to_string(), problem });
            }
            templates.add(language, event, part, path, &read(path)?)?;
        }
        Ok(templates)
    }

    /// Parses a template and tries it with sample facts.
    fn add(
        &mut self,
        language: &str,
        event: EventType,
        part: &str,
        path: &Path,
        source: &str,
    ) -> Result<(), TemplateError> {
        let wrong = |line: usize, problem: String| TemplateError::Template {
            path: path.display().to_string(),
            line,
            problem,
        };
        let of = |error: &minijinja::Error| {
            let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            wrong(error.line().unwrap_or(1), what)
        };
        let name = name_of(language, event, part);
        self.environment.add_template_owned(name.clone(), source.to_owned()).map_err(|error| of(&error))?;
        let template = self.environment.get_template(&name).map_err(|error| of(&error))?;
        // This also finds names in branches that no sample reaches.
        let functions: BTreeSet<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let unknown = template.undeclared_variables(false).into_iter();
        let samples = samples(event);
        // Every sample has all variables.
        let known: BTreeSet<String> = samples.iter().flat_map(Facts::values).map(|(name, _)| name).collect();
        let unknown = unknown.filter(|name| !known.contains(name) && !functions.contains(name.as_str()));
        let first = unknown.map(|name| (line_of(source, &name), name)).min();
        if let Some((line, name)) = first {
            let problem = format!(
                "there is no variable {name}; there are {}",
                known.into_iter().collect::<Vec<_>>().join(", ")
            );
            return Err(wrong(line, problem));
        }
        for facts in samples {
            let filled = template.render(facts.values()).map_err(|error| of(&error))?;
            if part == "subject" && one_line(&filled).is_empty() {
                return Err(wrong(1, "gives an empty subject".to_owned()));
            }
        }
        self.sets.insert((language.to_owned(), event.name()));
        Ok(())
    }

    /// Fills in the templates of an event in the language nearest to `locale`: `pt-BR` falls back to `pt`, then to the
    /// default.
    ///
    /// # Errors
    /// What a template cannot do with these facts, with its file and line.
    pub fn fill(&self, locale: &str, facts: &Facts) -> Result<Content, String> {
        let language = self.language(locale, facts.event);
        let part = |part: &str| {
            let name = name_of(&language, facts.event, part);
            let template = self.environment.get_template(&name).map_err(|error| error.to_string())?;
            template.render(facts.values()).map_err(|error| error.to_string())
        };
        Ok(Content { subject: one_line(&part("subject")?), text: part("txt")?, html: part("html")? })
    }

    fn language(&self, locale: &str, event: EventType) -> String {
        let mut language = canonical(locale);
        while !self.sets.contains(&(language.clone(), event.name())) {
            match language.rfind('-') {
                Some(end) => language.truncate(end),
                None => return String::new(),
            }
        }
        language
    }
}

/// The engine decides what to escape by the ending of this name.
fn name_of(language: &str, event: EventType, part: &str) -> String {
    format!("{language}/{}.{part}", event.name())
}

/// A language tag as it is compared: `pt_BR` and `pt-br` are the same.
fn canonical(locale: &str) -> String {
    locale.trim().replace('_', "-").to_ascii_lowercase()
}

fn samples(event: EventType) -> Vec<Facts> {
    let customer = CustomerId::parse("acme").ok();
    let link = Link::parse("https://example.com/{customer_id}").ok();
    let (Some(customer), Some(link)) = (customer, link) else { return Vec::new() };
    [false, true].map(|bare| Facts::sample(event, bare, &LedgerId::main(), &customer, &link)).into()
}

/// The line, from 1, on which a name first stands.
fn line_of(source: &str, name: &str) -> usize {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let has = |line: &str| line.split(|c: char| !is_name(c)).any(|word| word == name);
    source.lines().position(has).map_or(1, |line| line.saturating_add(1))
}

/// Files by language, event and part.
type Files = BTreeMap<(String, &'static str, &'static str), PathBuf>;

/// The templates in a directory and in its folders of languages.
fn files(directory: &Path) -> Result<Files, TemplateError> {
    let mut files = Files::new();
    let mut languages: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in entries(directory)? {
        if path.is_dir() {
            let language = canonical(&file_name(&path));
            let before = languages.insert(language.clone(), path.clone());
            let found = entries(&path)?;
            for path in found.iter().filter(|path| !path.is_dir()) {
                take(&mut files, &language, path)?;
            }
            if let Some(before) = before {
                let problem = format!("is the same language as {}", before.display());
                return Err(TemplateError::Name { path: path.display().to_string(), problem });
            }
        } else {
            take(&mut files, "", &path)?;
        }
    }
    Ok(files)
}

/// Other files are ignored, but a name that looks like a template and is none is a typing error.
fn take(files: &mut Files, language: &str, path: &Path) -> Result<(), TemplateError> {
    let name = file_name(path);
    let Some((stem, ending)) = name.rsplit_once('.') else { return Ok(()) };
    let Some(part) = PARTS.into_iter().find(|part| *part == ending) else { return Ok(()) };
    let Some(event) = EVENTS.into_iter().find(|event| event.name() == stem) else {
        let known = EVENTS.map(EventType::name).join(", ");
        let problem = format!("is not the template of an event: {known}");
        return Err(TemplateError::Name { path: path.display().to_string(), problem });
    };
    files.insert((language.to_owned(), event.name(), part), path.to_owned());
    Ok(())
}

/// The entries of a directory by name, without hidden ones.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let unreadable = |source| TemplateError::Unreadable { path: directory.display().to_string(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.retain(|path| !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<String, TemplateError> {
    let unreadable = |source| TemplateError::Unreadable { path: path.display().to_string(), source };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > BYTES_MAX {
        let problem = format!("is larger than {BYTES_MAX} bytes");
        return Err(TemplateError::Name { path: path.display().to_string(), problem });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
