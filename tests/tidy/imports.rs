//! Which file imports which, read by a real parser: names are followed through re-exports to the file that defines them.
//!
//! What counts as an import of a file: a private `use`, a `pub use` whose name the file itself uses as well, and a path in
//! its code, also inside macros. A plain `pub use` only passes a name on and is none. Modules of tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::{Item, UseTree};

/// A module: a file, or an inline module of one.
#[derive(Default)]
struct Module {
    file: usize,
    children: BTreeMap<String, usize>,
    parent: Option<usize>,
    /// Names that it defines, as far as macros do not hide them.
    defined: BTreeSet<String>,
    /// Names that it imports: (name, absolute or relative path). A glob has the name `*`.
    imported: Vec<(String, Vec<String>)>,
}

/// One file's import of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The importing file.
    pub from: String,
    /// The file that defines what is imported.
    pub to: String,
    /// The first module of the path as it is written, from the root of the crate.
    pub layer: String,
    /// The line in `from`.
    pub line: usize,
}

/// A path in a file's code, before it is followed.
struct Mention {
    module: usize,
    path: Vec<String>,
    /// All names of what the path leads to.
    is_glob: bool,
    line: usize,
}

/// The modules of a crate.
#[derive(Default)]
pub struct Crate {
    paths: Vec<String>,
    modules: Vec<Module>,
    mentions: Vec<Mention>,
}

impl Crate {
    /// Reads sources: (path from `src/`, text). `lib.rs` is the root; `main.rs` belongs to another crate.
    pub fn read<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut read = Self { modules: vec![Module::default()], ..Self::default() };
        let mut parsed = Vec::new();
        for (path, text) in sources {
            let file = read.paths.len();
            read.paths.push(path.to_owned());
            let mut module = 0;
            let trimmed = path.trim_end_matches(".rs");
            let names = if trimmed == "lib" { "" } else { trimmed.trim_end_matches("/mod") };
            for name in names.split('/').filter(|name| !name.is_empty()) {
                module = read.child(module, name, file);
            }
            read.modules[module].file = file;
            let items = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}")).items;
            parsed.push((module, items, text.parse::<TokenStream>().unwrap()));
        }
        for (module, items, tokens) in parsed {
            read.items(module, &items);
            read.code(module, &tokens);
        }
        read
    }

    fn child(&mut self, parent: usize, name: &str, file: usize) -> usize {
        if let Some(child) = self.modules[parent].children.get(name) {
            return *child;
        }
        let child = self.modules.len();
        self.modules.push(Module { file, parent: Some(parent), ..Module::default() });
        self.modules[parent].children.insert(name.to_owned(), child);
        child
    }

    fn items(&mut self, module: usize, items: &[Item]) {
        for item in items {
            let name = match item {
                Item::Const(item) => &item.ident,
                Item::Enum(item) => &item.ident,
                Item::Fn(item) => &item.sig.ident,
                Item::Static(item) => &item.ident,
                Item::Struct(item) => &item.ident,
                Item::Trait(item) => &item.ident,
                Item::Type(item) => &item.ident,
                Item::Macro(item) => match &item.ident {
                    Some(ident) => ident,
                    None => continue,
                },
                Item::Use(item) => {
                    self.uses(module, &item.tree, &mut Vec::new());
                    continue;
                }
                Item::Mod(item) => {
                    if let Some((_, items)) = &item.content {
                        let file = self.modules[module].file;
                        let child = self.child(module, &item.ident.to_string(), file);
                        self.items(child, items);
                    }
                    continue;
                }
                _ => continue,
            };
            self.modules[module].defined.insert(name.to_string());
        }
    }

    fn uses(&mut self, module: usize, tree: &UseTree, path: &mut Vec<String>) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.uses(module, &tree.tree, path);
                path.pop();
            }
            UseTree::Name(tree) => {
                let name = tree.ident.to_string();
                let mut whole = path.clone();
                let name = if name == "self" { whole.last().cloned().unwrap_or_default() } else { name };
                if tree.ident != "self" {
                    whole.push(name.clone());
                }
                self.modules[module].imported.push((name, whole));
            }
            UseTree::Rename(tree) => {
                let mut whole = path.clone();
                if tree.ident != "self" {
                    whole.push(tree.ident.to_string());
                }
                self.modules[module].imported.push((tree.rename.to_string(), whole));
            }
            UseTree::Glob(_) => self.modules[module].imported.push(("*".to_owned(), path.clone())),
            UseTree::Group(tree) => {
                for tree in &tree.items {
                    self.uses(module, tree, path);
                }
            }
        }
    }

    /// Collects the paths of a file's tokens, `use` items apart, and what `use` items import for the file itself.
    fn code(&mut self, module: usize, tokens: &TokenStream) {
        let mut names = BTreeSet::new();
        let mut uses = Vec::new();
        self.walk(module, tokens, &mut names, &mut uses);
        for (module, public, item, line) in uses {
            let before = self.modules[module].imported.len();
            self.uses(module, &item.tree, &mut Vec::new());
            let imported = self.modules[module].imported.split_off(before);
            for (name, path) in imported {
                if !public || names.contains(&name) {
                    let is_glob = name == "*";
                    self.mentions.push(Mention { module, path, is_glob, line });
                }
            }
        }
    }

    fn walk(
        &mut self,
        module: usize,
        tokens: &TokenStream,
        names: &mut BTreeSet<String>,
        uses: &mut Vec<(usize, bool, syn::ItemUse, usize)>,
    ) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Punct(punct) if punct.as_char() == '#' && is_cfg_test(tokens.get(at + 1)) => {
                    at += 2;
                    while at < tokens.len() && !ends_item(&tokens[at]) {
                        at += 1;
                    }
                    at += 1;
                }
                // Not `use<'a>` in a type.
                TokenTree::Ident(ident)
                    if *ident == "use" && !tokens.get(at + 1).is_some_and(|next| is_punct(next, '<')) =>
                {
                    let end = (at..tokens.len()).find(|end| is_punct(&tokens[*end], ';'));
                    let Some(end) = end else { return };
                    let statement: TokenStream = tokens[at..=end].iter().cloned().collect();
                    if let Ok(item) = syn::parse2::<syn::ItemUse>(statement) {
                        let public = at > 0 && is_public(&tokens[..at]);
                        uses.push((module, public, item, ident.span().start().line));
                    }
                    at = end + 1;
                }
                TokenTree::Ident(ident) if *ident == "mod" => {
                    // An inline module has a scope of its own.
                    let name = tokens.get(at + 1).map(ToString::to_string).unwrap_or_default();
                    let child = self.modules[module].children.get(&name).copied();
                    if let (Some(TokenTree::Group(group)), Some(child)) = (tokens.get(at + 2), child) {
                        self.walk(child, &group.stream(), names, uses);
                    }
                    at += 3;
                }
                TokenTree::Ident(ident) => {
                    let line = ident.span().start().line;
                    let mut path = vec![ident.to_string()];
                    names.insert(ident.to_string());
                    at += 1;
                    while at + 2 < tokens.len()
                        && is_punct(&tokens[at], ':')
                        && is_punct(&tokens[at + 1], ':')
                        && let TokenTree::Ident(next) = &tokens[at + 2]
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.mentions.push(Mention { module, path, is_glob: false, line });
                    }
                }
                TokenTree::Group(group) => {
                    self.walk(module, &group.stream(), names, uses);
                    at += 1;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at += 1,
            }
        }
    }

    /// The module and the file that a path leads to; `None` where it leads out of the crate. `is_sure` asks that the name
    /// is seen there: macros hide some.
    fn follow(&self, from: usize, path: &[String], is_sure: bool, depth: usize) -> Option<Found> {
        if depth > 12 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        let mut rest = rest;
        let mut module = match first.as_str() {
            "crate" => 0,
            "self" => from,
            "super" => self.modules[from].parent?,
            name => match self.modules[from].children.get(name) {
                Some(child) => *child,
                None => return self.look_up(from, name, rest, true, depth),
            },
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                module = self.modules[module].parent?;
            } else if let Some(child) = self.modules[module].children.get(name) {
                module = *child;
            } else {
                return self.look_up(module, name, after, is_sure, depth);
            }
            rest = after;
        }
        Some(Found { file: self.modules[module].file, is_module: true })
    }

    fn look_up(
        &self,
        module: usize,
        name: &str,
        rest: &[String],
        is_sure: bool,
        depth: usize,
    ) -> Option<Found> {
        let here = &self.modules[module];
        if here.defined.contains(name) {
            return Some(Found { file: here.file, is_module: false });
        }
        if let Some((_, path)) = here.imported.iter().find(|(imported, _)| imported == name) {
            // A path that begins with another crate ends where that is not found here either.
            let whole: Vec<String> = path.iter().chain(rest).cloned().collect();
            return self.follow(module, &whole, false, depth + 1);
        }
        for (_, path) in here.imported.iter().filter(|(imported, _)| imported == "*") {
            let whole: Vec<String> =
                path.iter().cloned().chain([name.to_owned()]).chain(rest.iter().cloned()).collect();
            if let Some(found) = self.follow(module, &whole, true, depth + 1) {
                return Some(found);
            }
        }
        (!is_sure).then_some(Found { file: here.file, is_module: false })
    }

    /// All imports between files of the crate, each pair of files once a line.
    pub fn imports(&self) -> BTreeSet<Import> {
        let mut imports = BTreeSet::new();
        for Mention { module, path, is_glob, line } in &self.mentions {
            let from = self.modules[*module].file;
            let Some(found) = self.follow(*module, path, false, 0) else { continue };
            // A module that is imported by its name is used by paths, which are followed on their own.
            if found.file != from && (*is_glob || !found.is_module) {
                imports.insert(Import {
                    from: self.paths[from].clone(),
                    to: self.paths[found.file].clone(),
                    layer: self.layer(*module, path),
                    line: *line,
                });
            }
        }
        imports
    }

    /// The first module of a path as it is written.
    fn layer(&self, module: usize, path: &[String]) -> String {
        if path[0] == "crate" {
            return path.get(1).cloned().unwrap_or_default();
        }
        let own = |file: usize| self.paths[file].split(['/', '.']).next().unwrap_or_default().to_owned();
        let imported = self.modules[module].imported.iter().find(|(name, _)| *name == path[0]);
        match imported {
            Some((_, whole)) if whole[0] == "crate" => whole.get(1).cloned().unwrap_or_default(),
            _ => own(self.modules[module].file),
        }
    }
}

struct Found {
    file: usize,
    is_module: bool,
}

/// Groups of files that import each other, directly or through others, each with the imports that close it.
pub fn circles(imports: &BTreeSet<Import>) -> Vec<String> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        next.entry(&import.from).or_default().insert(&import.to);
    }
    let reached = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for to in next.get(file).into_iter().flatten() {
                if seen.insert(*to) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let all: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reached(file))).collect();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    let mut circles = Vec::new();
    for (file, reaches) in &all {
        if !reaches.contains(file) || told.contains(file) {
            continue;
        }
        let together: BTreeSet<&str> = reaches
            .iter()
            .copied()
            .filter(|other| all.get(other).is_some_and(|back| back.contains(file)))
            .collect();
        told.extend(&together);
        let mut text = format!("{} files import each other:", together.len());
        let mut pairs = BTreeSet::new();
        for import in imports {
            let is_inside = together.contains(&*import.from) && together.contains(&*import.to);
            if is_inside && pairs.insert((&import.from, &import.to)) {
                // Writing to a string does not fail.
                let _ = write!(text, "\n    src/{}:{} imports {}", import.from, import.line, import.to);
            }
        }
        circles.push(text);
    }
    circles
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn is_cfg_test(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.stream().to_string().replace(' ', "") == "cfg(test)")
}

/// An item ends with its body in braces or with a semicolon.
fn ends_item(token: &TokenTree) -> bool {
    is_punct(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// Whether `pub`, with or without a scope, stands at the end of these tokens.
fn is_public(tokens: &[TokenTree]) -> bool {
    let is_pub =
        |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Ident(ident)) if *ident == "pub");
    match tokens.last() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            is_pub(tokens.iter().rev().nth(1))
        }
        last => is_pub(last),
    }
}
