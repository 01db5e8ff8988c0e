//! Brings the sources of settings together: flags over variables over the file over defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::error::ConfigError;
use super::file;
use super::flags::{Flags, variable_of, variables};
use super::secret::{Secret, Variables};
use super::settings::{ALTERNATIVES, ClientCertificates, Config, Setting};
use url::form_urlencoded;

use crate::hidden::Hidden;

/// Whether the settings are for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// A server needs the secrets of storefronts that the file names by a variable: one that is not set is a fault of the
    /// file. Settings that do not go together are refused.
    Needed,
    /// Other commands leave the secrets out.
    NotNeeded,
}

impl Config {
    /// Reads the file that the flags or `CREDITLEDGER_CONFIG` name, then the variables, then the flags.
    ///
    /// # Errors
    /// [`ConfigError`] names all faults of the file, or the first variable or flag that is unknown or has a bad value, or
    /// all contradictions.
    pub fn load(
        flags: &Flags,
        environment: impl Iterator<Item = (OsString, OsString)>,
        secrets: Secrets,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let environment: Vec<_> = environment.collect();
        let variables = variables(environment.iter().cloned())?;
        // Where each setting comes from, as people find it.
        let mut places: BTreeMap<&'static str, String> = BTreeMap::new();
        if let Some(path) = flags.config.as_ref().or(variables.config.as_ref()) {
            let named = match secrets {
                Secrets::Needed => Variables::Needed(&environment),
                Secrets::NotNeeded => Variables::NotNeeded,
            };
            for (name, line) in file::read(path, named, &mut config)? {
                places.insert(name, format!("{} line {line}: {name}", path.display()));
            }
        }
        config
            .set_all(&variables.settings, &variable_of)
            .map_err(|(name, problem)| ConfigError::Variable { name, problem })?;
        places.extend(variables.settings.iter().map(|(name, _)| (*name, variable_of(name))));
        let as_flag = |name: &str| name.replace('_', "-");
        config
            .set_all(&flags.settings, &as_flag)
            .map_err(|(name, problem)| ConfigError::Flag { name, problem })?;
        places.extend(flags.settings.iter().map(|(name, _)| (*name, format!("--{}", as_flag(name)))));
        let contradictions = config.contradictions();
        if secrets == Secrets::NotNeeded || contradictions.is_empty() {
            return Ok(config);
        }
        let told = contradictions
            .into_iter()
            .map(|(name, problem)| format!("{} {problem}", places.get(name).map_or(name, String::as_str)));
        Err(ConfigError::Contradictions(told.collect()))
    }

    /// Settings that need another one, and what each of them needs.
    fn contradictions(&self) -> Vec<(&'static str, String)> {
        let certificate = self.tls_certificate_file.is_some();
        let key = self.tls_key_file.is_some();
        let authorities = self.tls_client_authorities_file.is_some();
        let asked = self.tls_client_certificates != ClientCertificates::None;
        let certificates = self.auth.as_ref().is_some_and(|auth| !auth.certificates.is_empty());
        let whether = "tls_client_certificates optional or required";
        let needs = [
            ("tls_certificate_file", certificate, "tls_key_file", key),
            ("tls_key_file", key, "tls_certificate_file", certificate),
            ("tls_client_authorities_file", authorities, "tls_certificate_file", certificate),
            ("tls_client_authorities_file", authorities, whether, asked),
            ("tls_client_certificates", asked, "tls_client_authorities_file", authorities),
            ("auth.certificates", certificates, "tls_client_authorities_file", authorities),
        ];
        let broken = needs.into_iter().filter(|(_, is_set, _, has)| *is_set && !has);
        broken.map(|(name, _, needed, _)| (name, format!("needs {needed}"))).collect()
    }

    /// Sets what one source gives. The error has the name in the source's spelling, and what is wrong.
    fn set_all(
        &mut self,
        given: &[(&'static str, Hidden<String>)],
        spelled: &dyn Fn(&str) -> String,
    ) -> Result<(), (String, String)> {
        for (name, text) in given {
            self.set(name, text.reveal()).map_err(|problem| (spelled(name), problem))?;
        }
        let is_given = |wanted: &str| given.iter().any(|(name, _)| *name == wanted);
        match ALTERNATIVES.iter().find(|[one, other]| is_given(one) && is_given(other)) {
            Some([one, other]) => Err((spelled(other), format!("must not be given beside {}", spelled(one)))),
            None => Ok(()),
        }
    }

    /// Which database to use, with the schema as a parameter of its URL.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] where it stands in a file that cannot be read, or has no schemas.
    pub fn database_url(&self) -> Result<Hidden<String>, ConfigError> {
        let name = || format!("database_url{}", self.database_url.key_end());
        let url = self.database_url.revealed();
        let url = url.map_err(|problem| ConfigError::Secret { name: name(), problem })?;
        if self.postgres_schema.is_empty() {
            return Ok(url);
        }
        if !url.reveal().starts_with("postgres") {
            let problem = "is for databases in PostgreSQL".to_owned();
            return Err(ConfigError::Secret { name: "postgres_schema".to_owned(), problem });
        }
        let mut schema = form_urlencoded::Serializer::new(String::new());
        schema.append_pair("schema", &self.postgres_schema);
        // What follows a # is no part of the address.
        let address = url.reveal().split('#').next().unwrap_or_default();
        let mark = if address.contains('?') { '&' } else { '?' };
        Ok(Hidden::new(format!("{address}{mark}{}", schema.finish())))
    }

    /// The key that seals stored secrets, and the old ones that open them, each with the name of its setting.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] where one cannot be read, or there are old ones alone.
    pub fn sealing_keys(&self) -> Result<Vec<(String, Hidden<String>)>, ConfigError> {
        const NAME: &str = "sealing_key";
        const OLD: &str = "sealing_old_key";
        let old = || self.sealing_old_keys.iter().chain(&self.sealing_old_key_files);
        if self.sealing_key.is_none() && old().next().is_some() {
            let problem = "is needed beside sealing_old_keys: old keys only open".to_owned();
            return Err(ConfigError::Secret { name: NAME.to_owned(), problem });
        }
        let all = self.sealing_key.iter().map(|key| (NAME, "", key)).chain(old().map(|key| (OLD, "s", key)));
        let read = |(name, plural, secret): (&str, &str, &Secret)| {
            let name = format!("{name}{}{plural}", secret.key_end());
            match secret.revealed() {
                Ok(text) => Ok((name, text)),
                Err(problem) => Err(ConfigError::Secret { name, problem }),
            }
        };
        all.map(read).collect()
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let setting = Setting::named(name).ok_or("is not a setting")?;
        (setting.set)(self, text)
    }

    /// Refuses settings about callers where callers are not authenticated.
    pub fn check_auth(&self) -> Result<(), ConfigError> {
        let auth = self.auth.as_ref().map(|auth| ("auth says who may call", &auth.place));
        let limits =
            self.limits.as_ref().map(|limits| ("limits says how much callers may do", &limits.place));
        match auth.or(limits) {
            Some((rule, place)) if !self.authenticate => {
                Err(ConfigError::NotAuthenticated { rule, place: place.clone() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses to serve beyond this machine without authentication, or without TLS that hides tokens, unless `insecure` is
    /// set.
    pub fn check_exposure(&self) -> Result<(), ConfigError> {
        let listen = self.listen;
        match (self.authenticate, self.tls_certificate_file.is_some()) {
            _ if self.insecure || listen.ip().is_loopback() => Ok(()),
            (true, true) => Ok(()),
            (true, false) => Err(ConfigError::InTheClear { listen }),
            (false, _) => Err(ConfigError::Exposed { listen }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Kind, LogFormat, SETTINGS};

    fn flag(name: &'static str, text: &str) -> Flags {
        Flags { config: None, settings: vec![(name, text.to_owned().into())] }
    }

    fn load(flags: &Flags, variables: &[(&str, &str)], file: Option<&str>) -> Result<Config, String> {
        load_for(Secrets::NotNeeded, flags, variables, file)
    }

    fn load_for(
        secrets: Secrets,
        flags: &Flags,
        variables: &[(&str, &str)],
        file: Option<&str>,
    ) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let mut variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
            variables.push(("CREDITLEDGER_CONFIG".into(), path.clone().into()));
        }
        let shown = format!("{}", path.display());
        Config::load(flags, variables.into_iter(), secrets)
            .map_err(|error| error.to_string().replace(&shown, "c.toml"))
    }

    #[test]
    fn flags_win_over_variables_over_file_over_defaults() {
        let none = Flags::default();
        assert_eq!(load(&none, &[], None), Ok(Config::default()));
        // Variables of the client commands may be set in the shell that starts a server.
        let of_clients = [
            ("CREDITLEDGER_SERVER", "http://x"),
            ("CREDITLEDGER_TOKEN", "secret"),
            ("CREDITLEDGER_WEBHOOK_SECRET", "whsec_x"),
        ];
        assert_eq!(load(&none, &of_clients, None), Ok(Config::default()));
        let file =
            "listen = \"127.0.0.1:1\"\nbatch_commands_max = 1_0\ninsecure = true\nlog_format = \"json\"";
        let variables = [("CREDITLEDGER_LISTEN", "127.0.0.1:2"), ("CREDITLEDGER_BATCH_COMMANDS_MAX", "20")];
        let config = load(&flag("listen", "127.0.0.1:3"), &variables, Some(file)).unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.batch_commands_max, 20);
        assert!(config.insecure);
        assert_eq!(config.log_format, LogFormat::Json);
        let config = load(&none, &[], Some(file)).unwrap();
        assert_eq!((config.listen.port(), config.batch_commands_max), (1, 10));
    }

    #[test]
    fn every_setting_can_be_set_from_each_source() {
        for Setting { name, kind, is_flag, .. } in SETTINGS {
            let value = match (*name, kind) {
                ("listen" | "metrics_listen", _) => "127.0.0.1:7",
                ("log_format", _) => "json",
                ("log_filter", _) => "warn",
                ("audit_days" | "clock_gap_max_days", _) => "700",
                ("audit_bytes_max", _) => "70000000",
                ("allowed_hosts", _) => "a.example",
                ("allowed_origins", _) => "https://a.example",
                ("postgres_lanes", _) => "7",
                ("postgres_isolation", _) => "serializable",
                ("postgres_schema", _) => "cell",
                ("tls_client_certificates", _) => "required",
                ("batch_commands_max", _) => "77",
                ("request_memory_bytes_max", _) => "70000000",
                (_, Kind::Text) => "sqlite://x.db",
                (_, Kind::Texts) => "one,two",
                (_, Kind::Whole(..)) => "70000",
                (_, Kind::Switch) => "true",
            };
            let quoted = match kind {
                Kind::Text => format!("{value:?}"),
                Kind::Texts => "[\"one\", \"two\"]".to_owned(),
                Kind::Whole(..) | Kind::Switch => value.to_owned(),
            };
            let from_file = load(&Flags::default(), &[], Some(&format!("{name} = {quoted}"))).unwrap();
            let from_variable = load(&Flags::default(), &[(&variable_of(name), value)], None).unwrap();
            assert_eq!(from_file, from_variable, "{name}");
            if *is_flag {
                let from_flag = load(&flag(name, value), &[], None).unwrap();
                assert_eq!(from_file, from_flag, "{name}");
            }
            assert_ne!(from_file, Config::default(), "{name}");
        }
    }

    #[test]
    fn names_what_is_wrong_and_where() {
        let none = Flags::default();
        let file = |text: &str| load(&none, &[], Some(text)).unwrap_err();
        assert_eq!(file("insecure = false\nlistn = 1"), "c.toml line 2: listn is not a setting");
        assert_eq!(file("[quotas]\nqueue = 1"), "c.toml line 1: quotas is not a setting");
        assert_eq!(file("\nlisten = 5"), "c.toml line 2: listen must be a string, not integer");
        assert_eq!(file("insecure = \"yes\""), "c.toml line 1: insecure must be true or false, not string");
        assert_eq!(
            file("queue_commands_max = 9_999"),
            "c.toml line 1: queue_commands_max must be a whole number from 10000 to 10000000, not \"9999\""
        );
        assert_eq!(file("email = 1"), "c.toml line 1: email must be a table: [email], not integer");
        // All that is wrong, also beside a line that is no TOML.
        let told = file("a = 1\nlisten = \ninsecure = 5\nlog_format = \"xml\"");
        let begins = [
            "c.toml line 1: a is not",
            "c.toml line 2: ",
            "c.toml line 3: insecure",
            "c.toml line 4: log_format",
        ];
        assert_eq!(told.lines().count(), begins.len(), "{told}");
        assert!(told.lines().zip(begins).all(|(line, begin)| line.starts_with(begin)), "{told}");
        assert!(file("insecure = true\ninsecure = true").starts_with("c.toml line 2: "));

        let variable = |name, text| load(&none, &[(name, text)], None).unwrap_err();
        assert_eq!(variable("CREDITLEDGER_LISTN", "x"), "CREDITLEDGER_LISTN is not a setting");
        assert_eq!(
            variable("CREDITLEDGER_LOG_FORMAT", "xml"),
            "CREDITLEDGER_LOG_FORMAT must be text or json, not \"xml\""
        );
        assert!(
            variable("CREDITLEDGER_CONFIG", "/no/such.toml").starts_with("/no/such.toml cannot be read: ")
        );

        assert!(
            load(&flag("log_filter", "creditledger=loud"), &[], None)
                .unwrap_err()
                .starts_with("--log-filter must be log directives")
        );
    }

    #[test]
    fn a_secret_has_one_place_in_a_source_and_a_source_wins_over_another() {
        let none = Flags::default();
        let (text, file) =
            (("CREDITLEDGER_SEALING_KEY", "s3cret"), ("CREDITLEDGER_SEALING_KEY_FILE", "/key"));
        let told = load(&none, &[text, file], None).unwrap_err();
        assert_eq!(told, "CREDITLEDGER_SEALING_KEY_FILE must not be given beside CREDITLEDGER_SEALING_KEY");
        let told = load(
            &none,
            &[],
            Some("database_url = \"postgres://a:s3cret@h/d\"\ndatabase_url_file = \"/url\""),
        );
        assert_eq!(
            told.unwrap_err(),
            "c.toml line 2: database_url_file must not be given beside database_url"
        );
        // A variable takes the place of what the file says, wherever it points.
        let config = load(&none, &[text], Some("sealing_key_file = \"/key\"")).unwrap();
        assert_eq!(config.sealing_key, Some(Secret::of_text("s3cret")));
        assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
        let config = load(&none, &[file], Some("sealing_key = \"s3cret\"")).unwrap();
        assert_eq!(config.sealing_key, Some(Secret::File("/key".into())));
        // Old keys may be given in both ways.
        let both =
            "sealing_key = \"k\"\nsealing_old_keys = [\"a\", \"b\"]\nsealing_old_key_files = [\"/no/such\"]";
        let config = load(&none, &[], Some(both)).unwrap();
        let told = config.sealing_keys().unwrap_err().to_string();
        assert!(told.starts_with("sealing_old_key_files names /no/such, which cannot be read: "), "{told}");
        let config = load(&none, &[("CREDITLEDGER_SEALING_OLD_KEYS", "a,b")], None).unwrap();
        let told = config.sealing_keys().unwrap_err().to_string();
        assert!(told.starts_with("sealing_key is needed beside sealing_old_keys"), "{told}");
        let config = load(&none, &[("CREDITLEDGER_SEALING_OLD_KEYS", "a,b"), text], None).unwrap();
        let names: Vec<_> = config.sealing_keys().unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["sealing_key", "sealing_old_keys", "sealing_old_keys"]);
        // A file that is not used is not read.
        let config =
            load(&flag("database_url", "memory:"), &[], Some("database_url_file = \"/no/such\"")).unwrap();
        assert_eq!(config.database_url().unwrap().reveal(), "memory:");
        let config = load(&none, &[], Some("database_url_file = \"/no/such\"")).unwrap();
        let told = config.database_url().unwrap_err().to_string();
        assert!(told.starts_with("database_url_file names /no/such, which cannot be read: "), "{told}");
    }

    #[test]
    fn the_schema_is_a_parameter_of_the_url() {
        for (url, schema, whole) in [
            ("postgres://h/d", "cell_1", "postgres://h/d?schema=cell_1"),
            ("postgresql://h/d?sslmode=disable#x", "a&b", "postgresql://h/d?sslmode=disable&schema=a%26b"),
        ] {
            let variables = [("CREDITLEDGER_DATABASE_URL", url), ("CREDITLEDGER_POSTGRES_SCHEMA", schema)];
            let config = load(&Flags::default(), &variables, None).unwrap();
            assert_eq!(config.database_url().unwrap().reveal(), whole);
        }
        let config = load(&flag("postgres_schema", "cell"), &[], None).unwrap();
        let told = config.database_url().unwrap_err().to_string();
        assert_eq!(told, "postgres_schema is for databases in PostgreSQL");
    }

    #[test]
    fn what_does_not_go_together_is_told_at_once_with_its_place() {
        let file = "listen = \"127.0.0.1:1\"\ntls_client_certificates = \"required\"";
        let variables = [("CREDITLEDGER_TLS_CERTIFICATE_FILE", "c.pem")];
        let flags = flag("tls_client_authorities_file", "ca.pem");
        let told = |secrets, flags: &Flags| load_for(secrets, flags, &variables, Some(file));
        assert_eq!(
            told(Secrets::Needed, &Flags::default()).unwrap_err(),
            "CREDITLEDGER_TLS_CERTIFICATE_FILE needs tls_key_file\n\
             c.toml line 2: tls_client_certificates needs tls_client_authorities_file"
        );
        assert_eq!(
            told(Secrets::Needed, &flags).unwrap_err(),
            "CREDITLEDGER_TLS_CERTIFICATE_FILE needs tls_key_file"
        );
        assert!(told(Secrets::NotNeeded, &flags).is_ok());
        let alone = |name, text| load_for(Secrets::Needed, &flag(name, text), &[], None).unwrap_err();
        assert_eq!(alone("tls_key_file", "k.pem"), "--tls-key-file needs tls_certificate_file");
        assert_eq!(
            alone("tls_client_authorities_file", "ca.pem"),
            "--tls-client-authorities-file needs tls_certificate_file\n\
             --tls-client-authorities-file needs tls_client_certificates optional or required"
        );
        assert_eq!(alone("tls_key_file", ""), "--tls-key-file must not be empty");
        let whole = "tls_certificate_file = \"c\"\ntls_key_file = \"k\"";
        assert!(load_for(Secrets::Needed, &Flags::default(), &[], Some(whole)).is_ok());
    }

    #[test]
    fn rules_about_callers_need_that_callers_are_authenticated() {
        let file =
            "insecure = false\n[auth.certificates]\n\"DNS:a\" = { role = \"auditor\", ledgers = \"*\" }";
        let off = load(&Flags::default(), &[], Some(file)).unwrap();
        assert_eq!(
            off.check_auth().unwrap_err().to_string().rsplit('/').next().unwrap(),
            "c.toml line 2: auth says who may call, but callers are not authenticated: say authenticate = true, or \
             --authenticate"
        );
        let limited = load(&Flags::default(), &[], Some("[limits.default]\nstreams = 1")).unwrap();
        let told = limited.check_auth().unwrap_err().to_string();
        assert!(told.contains("c.toml line 1: limits says how much callers may do, but"), "{told}");
        assert!(Config { authenticate: true, ..limited }.check_auth().is_ok());
        let on = load(&flag("authenticate", "true"), &[], Some(file)).unwrap();
        assert!(on.check_auth().is_ok());
        assert!(Config::default().check_auth().is_ok());
    }

    #[test]
    fn serves_beyond_loopback_only_when_told_to() {
        let at = |listen: &str, insecure| Config {
            listen: listen.parse().unwrap(),
            insecure,
            ..Config::default()
        };
        assert!(at("127.9.9.9:1", false).check_exposure().is_ok());
        assert!(at("[::1]:1", false).check_exposure().is_ok());
        assert!(at("0.0.0.0:1", true).check_exposure().is_ok());
        for open in ["0.0.0.0:1", "[::]:1", "192.168.1.1:1"] {
            let error = at(open, false).check_exposure().unwrap_err().to_string();
            assert!(error.contains("--insecure") && !error.contains('\n'), "{error}");
            let asking = Config { authenticate: true, ..at(open, false) };
            let error = asking.check_exposure().unwrap_err().to_string();
            assert!(error.contains("in the clear") && error.contains("tls_certificate_file"), "{error}");
            let by_tls = Config { tls_certificate_file: Some("c.pem".into()), ..asking };
            assert!(by_tls.check_exposure().is_ok());
            assert!(Config { authenticate: false, ..by_tls }.check_exposure().is_err());
        }
    }
}
