//! All methods, from the descriptors, with the table of their messages: for JSON, and for weighing.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::ledger::actor::Role;

use super::json::{Json, Names, Place};
use super::wire::DESCRIPTORS;

/// Without readable descriptors no method can be called by Connect; a test rules this out.
/// The package of our own methods.
const PACKAGE: &str = "creditledger.v1";

static ALL: LazyLock<Methods> = LazyLock::new(|| {
    Methods::read().unwrap_or_else(|| {
        tracing::error!("the descriptors cannot be read; no JSON");
        Methods::none()
    })
});

#[derive(Debug)]
pub struct Methods {
    by_path: HashMap<String, Method>,
    /// The JSON of the methods' messages, and of the details of errors.
    pub json: Json,
    details: HashMap<String, Place>,
}

#[derive(Clone, Copy, Debug)]
pub struct Method {
    pub request: Place,
    pub response: Place,
    pub shape: Shape,
    /// It has no side effects, so it may be called by GET too.
    pub reads: bool,
    /// Who may call it; `None` for methods of others, such as health checks.
    pub allowed: Option<Roles>,
}

/// Some of the roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u32);

impl Roles {
    /// Those with these codes; `None` if one is unknown.
    fn of(codes: impl Iterator<Item = u8>) -> Option<Self> {
        let bits = codes.map(|code| Role::from_code(code).map(Self::bit));
        bits.collect::<Option<Vec<_>>>().map(|bits| Self(bits.into_iter().fold(0, |all, bit| all | bit)))
    }

    const fn bit(role: Role) -> u32 {
        1 << role.code()
    }

    pub const fn has(self, role: Role) -> bool {
        self.0 & Self::bit(role) != 0
    }
}

/// The number of messages in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One request, one answer.
    Unary,
    /// One request, many answers.
    ServerStream,
    /// Many requests, one or many answers.
    ClientStream,
}

impl Methods {
    pub fn all() -> &'static Self {
        &ALL
    }

    fn none() -> Self {
        Self { by_path: HashMap::new(), json: Json::new(Names::Json), details: HashMap::new() }
    }

    pub fn find(&self, path: &str) -> Option<&Method> {
        self.by_path.get(path)
    }

    /// The name of a method, such as `HoldService/PlaceHold`; empty for one that is not ours.
    pub fn name(&'static self, path: &str) -> &'static str {
        self.by_path.get_key_value(path).map_or("", |(path, _)| Self::short(path))
    }

    /// The whole name of a method, such as `creditledger.v1.HoldService/PlaceHold`; `None` for one that is not known.
    pub fn full_name(&'static self, path: &str) -> Option<&'static str> {
        self.by_path.get_key_value(path).map(|(path, _)| path.trim_start_matches('/'))
    }

    /// A path without the name of the package; empty for another package.
    pub fn short(path: &str) -> &str {
        path.strip_prefix('/')
            .and_then(|path| path.strip_prefix(PACKAGE))
            .and_then(|path| path.strip_prefix('.'))
            .unwrap_or_default()
    }

    /// All methods by their paths.
    #[cfg(test)]
    pub fn named(&self) -> impl Iterator<Item = (&str, &Method)> {
        self.by_path.iter().map(|(path, method)| (path.as_str(), method))
    }

    /// The type of a detail of an error.
    pub(super) fn detail(&self, name: &str) -> Option<Place> {
        self.details.get(name).copied()
    }

    fn read() -> Option<Self> {
        let mut read = Self::none();
        for set in [DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET] {
            let pool = DescriptorPool::decode(set).ok()?;
            for service in pool.services() {
                for method in service.methods() {
                    let path = format!("/{}/{}", service.full_name(), method.name());
                    let method = read.method(&method)?;
                    read.by_path.insert(path, method);
                }
            }
        }
        let pool = DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).ok()?;
        for name in ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo"] {
            let place = read.json.add(&pool.get_message_by_name(name)?)?;
            read.details.insert(name.to_owned(), place);
        }
        Some(read)
    }

    fn method(&mut self, method: &MethodDescriptor) -> Option<Method> {
        let shape = match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => Shape::Unary,
            (false, true) => Shape::ServerStream,
            (true, _) => Shape::ClientStream,
        };
        let options = method.method_descriptor_proto().options.as_ref();
        let level = options.map(|options| options.idempotency_level());
        Some(Method {
            request: self.json.add(&method.input())?,
            response: self.json.add(&method.output())?,
            shape,
            reads: shape == Shape::Unary && level == Some(IdempotencyLevel::NoSideEffects),
            allowed: allowed(method)?,
        })
    }
}

/// The roles that a method of ours allows, which is an option of it. The outer `None` means that the option is missing
/// or cannot be read.
fn allowed(method: &MethodDescriptor) -> Option<Option<Roles>> {
    let pool = method.parent_pool();
    if method.parent_service().parent_file().package_name() != PACKAGE {
        return Some(None);
    }
    let option = pool.get_extension_by_name(&format!("{PACKAGE}.allowed"))?;
    let options = method.options();
    let allowed = options.get_extension(&option);
    let roles = allowed.as_message()?.get_field_by_name("roles")?;
    let codes = roles.as_list()?.iter().map(|role| u8::try_from(role.as_enum_number()?).ok());
    let codes = codes.collect::<Option<Vec<_>>>().filter(|codes| !codes.is_empty())?;
    Roles::of(codes.into_iter()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_json() {
        let methods = Methods::all();
        let find = |path: &str| methods.find(path).unwrap();
        assert!(methods.by_path.len() > 60);
        let balance = find("/creditledger.v1.LedgerService/GetBalance");
        assert!(balance.reads && balance.shape == Shape::Unary);
        let grant = find("/creditledger.v1.PurchaseService/GrantCredits");
        assert!(!grant.reads && grant.shape == Shape::Unary);
        let watch = find("/creditledger.v1.NotificationService/WatchEvents");
        assert!(!watch.reads && watch.shape == Shape::ServerStream);
        assert_eq!(find("/creditledger.v1.BatchService/ExecuteStream").shape, Shape::ClientStream);
        assert_eq!(find("/grpc.health.v1.Health/Check").shape, Shape::Unary);
    }
}
