//! How long functions are, and how deep their blocks are nested.

use syn::visit::{self, Visit};

/// A function of a file, closures and functions inside it included.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// From its first line to its last.
    pub lines: usize,
    /// Branches, loops and closures with a block that stand inside each other.
    pub depth: usize,
}

/// All functions of a file.
pub fn functions(text: &str) -> Vec<Function> {
    let mut reader = Reader::default();
    reader.visit_file(&syn::parse_file(text).unwrap());
    reader.functions
}

#[derive(Default)]
struct Reader {
    functions: Vec<Function>,
    depth: usize,
    deepest: usize,
}

impl Reader {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (depth, deepest) = (self.depth, self.deepest);
        (self.depth, self.deepest) = (0, 0);
        visit::visit_block(self, block);
        let line = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line + 1 - line;
        self.functions.push(Function { name: signature.ident.to_string(), line, lines, depth: self.deepest });
        (self.depth, self.deepest) = (depth, deepest);
    }

    fn deeper(&mut self, inside: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        inside(self);
        self.depth -= 1;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_expr(&mut self, expr: &'ast syn::Expr) {
        use syn::Expr::{Async, Closure, ForLoop, If, Loop, Match, While};
        match expr {
            // `else if` is no deeper than the `if` before it.
            If(branch) => {
                self.visit_expr(&branch.cond);
                self.deeper(|reader| reader.visit_block(&branch.then_branch));
                match branch.else_branch.as_ref().map(|(_, other)| &**other) {
                    Some(other @ If(_)) => self.visit_expr(other),
                    Some(other) => self.deeper(|reader| visit::visit_expr(reader, other)),
                    None => {}
                }
            }
            Closure(closure) if !matches!(*closure.body, syn::Expr::Block(_)) => {
                visit::visit_expr(self, expr);
            }
            Match(_) | ForLoop(_) | While(_) | Loop(_) | Closure(_) | Async(_) => {
                self.deeper(|reader| visit::visit_expr(reader, expr));
            }
            _ => visit::visit_expr(self, expr),
        }
    }
}
