//! Compiles the protos without protoc: messages, clients, servers, the descriptor set that reflection serves, and the code
//! that is the same for every command, read and method.
//!
//! | written to `OUT_DIR` | included by | what it has |
//! |---|---|---|
//! | `descriptors.bin` | `grpc/wire.rs` | the descriptors of all protos |
//! | `messages.rs` | `grpc/wire.rs` | which requests have a context or name a ledger, which responses have an outcome |
//! | `batch_commands.rs` | `grpc/command.rs` | the reading of the commands of a batch |
//! | `services.rs` | `grpc/services.rs` | the services: each method calls its function of `Api` |
//!
//! So a new command needs its proto, its `CommandMessage`, and nothing else on this side.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::field_descriptor_proto::Label;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use protox::prost_reflect::DescriptorPool;

/// The package that this server serves.
const PACKAGE: &str = "creditledger.v1";
const CONTEXT: &str = ".creditledger.v1.CommandContext";
const OUTCOME: &str = ".creditledger.v1.CommandOutcome";

/// Requests that are read as another one: all fields of the first are fields of the second, but those named here.
const READ_AS: [(&str, &str, &[&str]); 5] = [
    ("GetReceiptRequest", "GetHoldRequest", &[]),
    ("ListPurchasesRequest", "ListLotsRequest", &[]),
    ("ListTransfersRequest", "ListPostingsRequest", &[]),
    ("ListSettlementsRequest", "ListHoldsRequest", &[]),
    ("PlaceHoldRequest", "EstimateIncidentRequest", &["park"]),
];

/// Fields that hold a secret. Their messages have no Debug output of their fields, so that no log can show one.
const SECRETS: [&str; 3] = ["secret", "token", "password"];

/// Messages of others that no field of ours has, but the details of every error: reflection knows them too.
const DETAILS: [&str; 2] = ["google/rpc/error_details.proto", "google/rpc/status.proto"];

/// Lists the migrations of each engine, in their order, with their texts: `NNNN_what_it_does.sql`.
fn list_migrations() -> Result<(), Box<dyn Error>> {
    let mut list = String::new();
    for (engine, name) in [("sqlite", "SQLITE"), ("postgres", "POSTGRES")] {
        let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("migrations").join(engine);
        let mut files =
            std::fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<std::io::Result<Vec<_>>>()?;
        files.sort();
        writeln!(list, "/// The migrations of {engine}.\npub static {name}: &[Migration] = &[")?;
        for file in files {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).ok_or("a migration has no name")?;
            let (version, what) = stem.split_once('_').ok_or("a migration is named NNNN_what_it_does.sql")?;
            let (version, description) = (version.parse::<i64>()?, what.replace('_', " "));
            let file = file.display().to_string();
            writeln!(
                list,
                "    Migration {{ version: {version}, description: {description:?}, sql: include_str!({file:?}) }},"
            )?;
        }
        writeln!(list, "];")?;
    }
    Ok(std::fs::write(PathBuf::from(std::env::var("OUT_DIR")?).join("migrations.rs"), list)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let package = Path::new("proto/creditledger/v1");
    println!("cargo:rerun-if-changed=proto/creditledger");
    println!("cargo:rerun-if-changed=proto/third_party");
    println!("cargo:rerun-if-changed=migrations");
    list_migrations()?;
    let mut protos = Vec::new();
    for entry in std::fs::read_dir(package)? {
        protos.push(entry?.path());
    }
    // The order of a directory is not defined; that of the generated code should be.
    protos.sort();
    protos.extend(DETAILS.map(PathBuf::from));
    let mut compiler = protox::Compiler::new(["proto", "proto/third_party"])?;
    compiler.include_imports(true).include_source_info(true).open_files(protos)?;
    // Encoded by the compiler itself: what prost-types decodes has lost the options that are not protobuf's own, such as
    // the behaviour of fields.
    let descriptors = compiler.encode_file_descriptor_set();
    check_allowed(&compiler.descriptor_pool())?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), &descriptors)?;
    let set = FileDescriptorSet::decode(descriptors.as_slice())?;
    let protos = Protos { files: set.file.iter().filter(|file| file.package() == PACKAGE).collect() };
    std::fs::write(out.join("messages.rs"), protos.messages()?)?;
    std::fs::write(out.join("batch_commands.rs"), protos.batch_commands()?)?;
    std::fs::write(out.join("services.rs"), protos.services()?)?;
    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(protos.with_secrets().map(|message| format!(".{PACKAGE}.{}", message.name())))
        .codec_path("crate::grpc::codec::SmallCodec")
        .extern_path(".google.type.Date", "crate::grpc::wire::Date")
        .compile_fds(set)?;
    Ok(())
}

/// Every method says which roles may call it: one that does not must not be served.
fn check_allowed(pool: &DescriptorPool) -> Result<(), String> {
    let name = format!("{PACKAGE}.allowed");
    let allowed = pool.get_extension_by_name(&name).ok_or(format!("there is no option {name}"))?;
    let services = pool.services().filter(|service| service.parent_file().package_name() == PACKAGE);
    for method in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let options = method.options();
        let has_roles = options.get_extension(&allowed).as_message().is_some_and(|allowed| {
            let roles = allowed.get_field_by_name("roles");
            roles.and_then(|roles| roles.as_list().map(|roles| !roles.is_empty())).unwrap_or_default()
        });
        if !has_roles {
            return Err(format!("{} does not say who may call it: option ({name})", method.full_name()));
        }
    }
    Ok(())
}

/// The protos of the package.
struct Protos<'a> {
    files: Vec<&'a FileDescriptorProto>,
}

impl Protos<'_> {
    fn all_messages(&self) -> impl Iterator<Item = &DescriptorProto> {
        self.files.iter().flat_map(|file| &file.message_type)
    }

    fn with_secrets(&self) -> impl Iterator<Item = &DescriptorProto> {
        let is_secret = |field: &FieldDescriptorProto| SECRETS.contains(&field.name());
        self.all_messages().filter(move |message| message.field.iter().any(is_secret))
    }

    fn message(&self, name: &str) -> Result<&DescriptorProto, String> {
        self.all_messages()
            .find(|message| message.name() == name)
            .ok_or(format!("there is no message {name}"))
    }

    /// The commands of a batch: the fields of its one oneof.
    fn commands(&self) -> Result<&[FieldDescriptorProto], String> {
        Ok(&self.message("BatchCommand")?.field)
    }

    /// What messages have in common, as implementations of the traits of `wire.rs`.
    fn messages(&self) -> Result<String, Box<dyn Error>> {
        let mut code = String::new();
        for message in self.all_messages() {
            let name = message.name();
            let has = |field: &str, of: &str| {
                message.field.iter().any(|it| it.name() == field && it.type_name() == of)
            };
            if has("context", CONTEXT) {
                writeln!(
                    code,
                    "impl WithContext for {name} {{
                        fn take_context(&mut self) -> Option<CommandContext> {{ self.context.take() }}
                    }}"
                )?;
            } else if name.ends_with("Request") && has("ledger_id", "") {
                writeln!(
                    code,
                    "impl OfLedger for {name} {{ fn ledger_id(&self) -> &str {{ &self.ledger_id }} }}"
                )?;
            }
            if has("outcome", OUTCOME) {
                writeln!(
                    code,
                    "impl Answered for {name} {{
                        fn outcome(self) -> CommandOutcome {{ self.outcome.unwrap_or_default() }}
                    }}"
                )?;
            }
        }
        for name in self.with_secrets().map(DescriptorProto::name) {
            writeln!(
                code,
                "impl std::fmt::Debug for {name} {{
                    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
                        f.debug_struct(\"{name}\").finish_non_exhaustive()
                    }}
                }}"
            )?;
        }
        for (from, to, besides) in READ_AS {
            code += &read_as(self.message(from)?, self.message(to)?, besides)?;
        }
        Ok(code)
    }

    fn batch_commands(&self) -> Result<String, Box<dyn Error>> {
        let mut arms = String::new();
        for command in self.commands()? {
            let (field, variant) = (command.name(), camel(command.name()));
            let path = self.path_of(command.type_name())?;
            writeln!(
                arms,
                "Some(wire::batch_command::Command::{variant}(message)) => {{
                    fields.may_call({path:?})?;
                    fields.within(\"{field}\", |fields| read_in(message, fields, ledger))
                }}"
            )?;
        }
        let paths = self.commands()?.iter().map(|command| self.path_of(command.type_name()));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        Ok(format!(
            "/// Whether a batch may have the command of this method.
            #[cfg(test)]
            pub fn is_batched(path: &str) -> bool {{
                {paths:?}.contains(&path)
            }}

            /// Reads one command of a batch, which is all in one ledger, or of a stream.
            pub fn read_batch_command(
                fields: &mut Fields,
                command: wire::BatchCommand,
                ledger: Option<&LedgerId>,
            ) -> Option<(Scope, Command)> {{
                match command.command {{
                    {arms}
                    None => fields.refuse(\"command\", \"must be set\"),
                }}
            }}"
        ))
    }

    /// The path of the method that takes this message.
    fn path_of(&self, message: &str) -> Result<String, String> {
        let services = self.files.iter().flat_map(|file| &file.service);
        let methods = services.flat_map(|service| service.method.iter().map(move |method| (service, method)));
        let (service, method) = methods
            .into_iter()
            .find(|(_, method)| method.input_type() == message)
            .ok_or(format!("no method takes a {message}"))?;
        Ok(format!("/{PACKAGE}.{}/{}", service.name(), method.name()))
    }

    /// Each method calls the function of its name, of the [`Api`] as the caller has it. Methods without side effects are given their message, the others the
    /// whole request, which has the deadline. Commands are run, and answered by the fields of their response.
    fn services(&self) -> Result<String, Box<dyn Error>> {
        let commands: Vec<&str> = self.commands()?.iter().map(|command| short(command.type_name())).collect();
        let mut code = String::new();
        for service in self.files.iter().flat_map(|file| &file.service) {
            let name = service.name();
            writeln!(code, "#[tonic::async_trait]\nimpl {}_server::{name} for Api {{", snake(name))?;
            for method in &service.method {
                let function = snake(method.name());
                let (input, output) = (short(method.input_type()), short(method.output_type()));
                let mut answer = output.to_owned();
                if method.server_streaming() {
                    answer = format!("ReceiverStream<Result<{output}, Status>>");
                    writeln!(code, "type {}Stream = {answer};", method.name())?;
                }
                let request =
                    if method.client_streaming() { format!("Streaming<{input}>") } else { input.to_owned() };
                let level = method.options.as_ref().map(|options| options.idempotency_level());
                let body = if commands.contains(&input) {
                    self.run(output)?
                } else if level == Some(IdempotencyLevel::NoSideEffects) {
                    format!("api.{function}(request.into_inner()).await.map(Response::new)")
                } else if method.client_streaming() || method.server_streaming() {
                    format!("api.{function}(request).await.map(Response::new)")
                } else {
                    self.noted(input, output, &function)?
                };
                writeln!(
                    code,
                    "async fn {function}(
                        &self,
                        request: Request<{request}>,
                    ) -> Result<Response<{answer}>, Status> {{
                        let api = self.called_by(request.extensions())?;
                        {body}
                    }}"
                )?;
            }
            code += "}\n";
        }
        let services = self.files.iter().flat_map(|file| &file.service);
        let names: Vec<_> = services.map(|service| format!("{PACKAGE}.{}", service.name())).collect();
        writeln!(
            code,
            "/// The names of the services.\npub const SERVICE_NAMES: [&str; {}] = {names:?};",
            names.len()
        )?;
        Ok(code)
    }

    /// Runs what changes something without a posting, and tells the audit log. It names what was changed by the first id
    /// of the response, or of what the response shows.
    fn noted(&self, input: &str, output: &str, function: &str) -> Result<String, String> {
        let has = |message: &str, field: &str| {
            Ok::<_, String>(self.message(message)?.field.iter().any(|it| it.name() == field))
        };
        let context = if has(input, "context")? { "request.get_ref().context.clone()" } else { "None" };
        let is_repeat = if has(output, "outcome")? {
            "answer.outcome.as_ref().is_some_and(|outcome| outcome.replayed)"
        } else {
            "false"
        };
        let id = self.message(output)?.field.iter().find_map(|field| {
            let name = field.name();
            if name.ends_with("_id") {
                return Some(format!("answer.{name}.clone()"));
            }
            let shown = self.message(short(field.type_name())).ok().filter(|_| name != "outcome")?;
            let mut ids = shown.field.iter().filter(|field| field.name().ends_with("_id"));
            let id = ids.clone().find(|id| id.name() != "ledger_id").or_else(|| ids.next())?;
            (field.label() != Label::Repeated).then(|| {
                format!("answer.{name}.as_ref().map(|it| it.{}.clone()).unwrap_or_default()", id.name())
            })
        });
        let id = id.unwrap_or_else(|| "String::new()".to_owned());
        Ok(format!(
            "let context = {context};
            let work = async move {{
                let answer = api.{function}(request).await;
                api.note(context.as_ref(), &answer, |answer| {{
                    let _ = answer;
                    let is_repeat = {is_repeat};
                    (!is_repeat).then_some({id})
                }});
                answer
            }};
            to_its_end(work).await.map(Response::new)"
        ))
    }

    /// Runs a command. What its response has besides the outcome is found by `Shown` of that field's type.
    fn run(&self, response: &str) -> Result<String, String> {
        let fields = self.message(response)?.field.iter().filter(|field| field.name() != "outcome");
        match fields.collect::<Vec<_>>().as_slice() {
            [] => Ok(format!(
                "let outcome = Some(api.run(request).await?.outcome());
                Ok(Response::new({response} {{ outcome }}))"
            )),
            [field] => Ok(format!(
                "let accepted = api.run(request).await?;
                let (outcome, {field}) = (Some(accepted.outcome()), Shown::of(&accepted));
                Ok(Response::new({response} {{ outcome, {field} }}))",
                field = field.name(),
            )),
            [_, _, ..] => Err(format!("{response} has more than one field besides its outcome")),
        }
    }
}

/// The conversion of one request into another that has the same fields.
fn read_as(from: &DescriptorProto, to: &DescriptorProto, besides: &[&str]) -> Result<String, Box<dyn Error>> {
    let (from_name, to_name) = (from.name(), to.name());
    let mut fields = String::new();
    for field in &from.field {
        let name = field.name();
        if besides.contains(&name) || in_oneof(field) {
            continue;
        }
        if !to.field.iter().any(|other| other.name() == name && other.r#type() == field.r#type()) {
            return Err(format!("{from_name}.{name} is no field of {to_name}").into());
        }
        write!(fields, "{name}: from.{name}, ")?;
    }
    for (index, oneof) in (0..).zip(&from.oneof_decl) {
        let (name, kind) = (oneof.name(), camel(oneof.name()));
        let mut arms = String::new();
        for field in from.field.iter().filter(|field| in_oneof(field) && field.oneof_index == Some(index)) {
            let variant = camel(field.name());
            let [from, to] =
                [from_name, to_name].map(|message| format!("{}::{kind}::{variant}", snake(message)));
            write!(arms, "{from}(it) => {to}(it), ")?;
        }
        if !arms.is_empty() {
            write!(fields, "{name}: from.{name}.map(|it| match it {{ {arms} }}), ")?;
        }
    }
    Ok(format!(
        "impl From<{from_name}> for {to_name} {{
            fn from(from: {from_name}) -> Self {{ Self {{ {fields} ..Self::default() }} }}
        }}"
    ))
}

/// Whether a field is one of a oneof, and not only optional.
fn in_oneof(field: &FieldDescriptorProto) -> bool {
    field.oneof_index.is_some() && !field.proto3_optional()
}

/// A name without its package.
fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn camel(snake: &str) -> String {
    let capital = |word: &str| {
        word.get(..1).unwrap_or_default().to_ascii_uppercase() + word.get(1..).unwrap_or_default()
    };
    snake.split('_').map(capital).collect()
}
