//! Each source and each kind of value, and what is said about wrong ones.

use super::*;

fn from_file(text: &str) -> Result<Config, ConfigError> {
    Config::from_sources(Some((Path::new("hilum.toml"), text)), &[], Overrides::default())
}

fn from_variable(name: &str, value: &str) -> Result<Config, ConfigError> {
    Config::from_sources(None, &[(name.to_owned(), value.to_owned())], Overrides::default())
}

#[test]
fn the_defaults_run_and_print_themselves() {
    let config = from_file("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.limits.part_bytes_max, 64 << 30);
    assert_eq!(config.public_url, None);
    let printed = config.to_commented_toml();
    // Only digit separators differ.
    let mut defaults = String::new();
    let next = DEFAULTS.chars().skip(1).chain(['\n']);
    for (letter, next) in DEFAULTS.chars().zip(next) {
        let is_separator = letter == '_' && next.is_ascii_digit();
        if !is_separator {
            defaults.push(letter);
        }
    }
    assert_eq!(printed, defaults);
}

#[test]
fn every_key_of_the_defaults_has_a_comment() {
    let mut commented = false;
    for line in DEFAULTS.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(commented, "{line} has no comment above it");
        } else {
            commented = line.starts_with('#');
        }
    }
}

#[test]
fn what_is_printed_is_read_back() {
    let config = from_file(
        "data = \"/srv/a b\"\npublic_url = \"https://pacs.example.org/x/\"\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n\
         [limits]\npart_bytes_max = 4097\n[cors]\norigins = [\"*\"]\n[search]\nempty_status = 204\n[log]\nformat = \"json\"\n",
    )
    .unwrap();
    assert_eq!(config.public_url.as_deref(), Some("https://pacs.example.org/x"));
    assert_eq!(config.limits.part_bytes_max, 4097);
    assert_eq!(config.search.empty_status, EmptyStatus::NoContent);
    assert_eq!(from_file(&config.to_commented_toml()).unwrap(), config);
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = from_file("workers = 2\n[limits]\nresult_max = 5\n").unwrap_err().to_string();
    assert_eq!(
        error,
        "hilum.toml, line 3: unknown key `limits.result_max`; did you mean `limits.results_max`?"
    );
    let error = from_file("results_max = 5\n").unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("did you mean `limits.results_max`"), "{error}");
    let error = from_file("\n[nonsense]\na = 1\n").unwrap_err().to_string();
    assert!(error.contains("line 2: unknown key `nonsense`"), "{error}");
}

#[test]
fn roles_of_ones_own_are_taken_and_printed() {
    let text = "[roles.ct-north]\nallow = [\"search\"]\nwhere = \"Modality=CT\"\n\
                [roles.viewer]\nwhere = \"Modality=MR\"\n[roles.\"a.b\"]\nallow = []\n";
    let config = from_file(text).unwrap();
    assert_eq!(config.roles["ct-north"].r#where, "Modality=CT");
    assert_eq!(config.roles["viewer"].r#where, "Modality=MR");
    assert_eq!(config.roles["viewer"].allow, Config::default().roles["viewer"].allow);
    assert_eq!(config.roles.len(), Config::default().roles.len() + 2);
    assert_eq!(from_file(&config.to_commented_toml()).unwrap(), config);
    let error = from_file("[roles.ct]\nallow = []\nwher = \"\"\n").unwrap_err().to_string();
    assert!(error.contains("line 1: `roles.ct`") && error.contains("wher"), "{error}");
}

#[test]
fn tenants_are_taken_and_printed_and_have_plain_names() {
    let text = "[tenants.north]\ntitle = \"North\"\nquota_bytes_max = \"2 MiB\"\n[tenants.south-2]\n\
                [roles.viewer]\ntenants = [\"north\", \"root\"]\n";
    let config = from_file(text).unwrap();
    assert_eq!((config.tenants.len(), config.tenants["north"].quota_bytes_max), (2, 2 << 20));
    assert_eq!(config.roles["viewer"].tenants, ["north", "root"]);
    assert_eq!(config.roles["administrator"].tenants, ["*"]);
    assert!(config.unknown_tenants().is_empty());
    assert_eq!(from_file(&config.to_commented_toml()).unwrap(), config);
    for name in ["North", "dicomweb", "root", "-a", "a_b", "\"\"", "\"a.b\"", &"a".repeat(33)] {
        let error = from_file(&format!("[tenants.{name}]\n")).unwrap_err().to_string();
        assert!(error.contains("`tenants`"), "{name}: {error}");
    }
    let error = from_file("[tenants.north]\nquota = 3\n").unwrap_err().to_string();
    assert!(error.contains("`tenants.north`") && error.contains("quota"), "{error}");
    let mistaken = from_file("[roles.viewer]\ntenants = [\"nroth\"]\n").unwrap().unknown_tenants();
    assert_eq!(mistaken, [("roles.viewer".to_owned(), "nroth".to_owned())]);
}

#[test]
fn a_wrong_value_is_refused_with_its_origin() {
    let error = from_file("# x\nworkers = \"many\"\n").unwrap_err().to_string();
    assert!(error.starts_with("hilum.toml, line 2: `workers` has a wrong value: "), "{error}");
    let error = from_file("[search]\nempty_status = 404\n").unwrap_err().to_string();
    assert!(error.contains("404 is neither 200 nor 204"), "{error}");
    let error = from_file("limits = 3\n").unwrap_err().to_string();
    assert!(error.contains("line 1: `limits`"), "{error}");
    let error = from_file("listen.port = 3\n").unwrap_err().to_string();
    assert!(error.contains("unknown key `listen.port`"), "{error}");
    let error = from_variable("HILUM_LISTEN", "here").unwrap_err().to_string();
    assert!(error.starts_with("environment variable HILUM_LISTEN: `listen`"), "{error}");
    assert!(matches!(from_file("a = \n").unwrap_err(), ConfigError::Syntax { .. }));
}

#[test]
fn variables_and_the_command_line_override() {
    let config = from_variable("HILUM_LIMITS_RESULTS_MAX", "7").unwrap();
    assert_eq!(config.limits.results_max, 7);
    let config = from_variable("HILUM_TRUSTED_PROXIES", "10.0.0.1, 192.168.0.0/16").unwrap();
    assert_eq!(config.trusted_proxies.len(), 2);
    assert!(!from_variable("HILUM_DELETE_ENABLED", "false").unwrap().delete_enabled);
    assert_eq!(from_variable("HILUM_LIMITS_PART_BYTES_MAX", "5 GiB").unwrap().limits.part_bytes_max, 5 << 30);
    assert_eq!(from_variable("HILUM_PORT", "tcp://10.0.0.1:80").unwrap(), Config::default());

    let file = Some((Path::new("f"), "data = \"file\"\nworkers = 3"));
    let variables = [("HILUM_DATA".to_owned(), "variable".to_owned())];
    let overrides = Overrides { data: Some("line".into()), listen: None };
    let config = Config::from_sources(file, &variables, overrides).unwrap();
    assert_eq!((config.data, config.workers), ("line".into(), 3));
}

#[test]
fn other_machines_are_kept_out_while_nobody_authenticates() {
    for address in ["0.0.0.0:8080", "[::]:8080", "192.168.1.2:80", "[::ffff:10.0.0.1]:80"] {
        let error = from_variable("HILUM_LISTEN", address).unwrap_err().to_string();
        assert!(error.contains("authentication") && error.contains("127.0.0.1"), "{error}");
    }
    for address in ["127.0.0.1:0", "127.8.8.8:1", "[::1]:80"] {
        assert!(from_variable("HILUM_LISTEN", address).is_ok(), "{address}");
    }
}

#[test]
fn there_is_always_a_limit() {
    let error = from_variable("HILUM_LIMITS_QUEUE_MAX", "0").unwrap_err().to_string();
    assert_eq!(error, "`limits.queue_max` is 0, and must be 1 to 1000000");
    let error = from_variable("HILUM_LIMITS_PART_BYTES_MAX", "0").unwrap_err().to_string();
    assert!(error.contains("`limits.part_bytes_max` must be above 0"), "{error}");
}

#[test]
fn bytes_are_read_and_written_with_units() {
    for (text, bytes) in [("0", 0), ("1_024", 1024), ("4KiB", 4096), ("3 gib", 3 << 30), ("7 B", 7)] {
        assert_eq!(bytes::read(text), Some(bytes), "{text}");
        assert_eq!(bytes::read(&bytes::written(bytes)), Some(bytes));
    }
    for text in ["", "x", "-1", "1.5 GiB", "1 GB", "99999999999 TiB"] {
        assert_eq!(bytes::read(text), None, "{text}");
    }
}

/// `workers` of some billions panicked at the start, `limits.queue_max` took all
/// memory, `audit.interval_seconds` ended workers at the first retrieval, and
/// `search.time_max_ms = 0` refused every search.
#[test]
fn numbers_with_which_nothing_would_run_are_refused_with_their_range() {
    for (key, value, range) in [
        ("workers", "4294967295", "0 to 1024"),
        ("store.streams_max", "9223372036854775807", "1 to 1024"),
        ("limits.uploads_max", "9223372036854775807", "1 to 65536"),
        ("limits.queue_max", "4294967295", "1 to 1000000"),
        ("pixels.threads", "9223372036854775807", "0 to 1024"),
        ("pixels.waiting_max", "9223372036854775807", "0 to 1000000"),
        ("render.thumbnail_side", "4294967295", "1 to 8192"),
        ("search.time_max_ms", "0", "1 to 3155760000000"),
        ("uploads.idle_seconds_max", "0", "1 to 3155760000"),
        ("uploads.idle_seconds_max", "9223372036854775807", "1 to 3155760000"),
        ("uploads.count_max", "0", "at least 1"),
        ("audit.interval_seconds", "9223372036854775807", "0 to 3155760000"),
        ("audit.keep_days", "36526", "0 to 36525"),
        ("shares.days_max", "36526", "0 to 36525"),
        ("auth.session_idle_minutes", "9223372036854775807", "0 to 52596000"),
        ("auth.session_hours_max", "9223372036854775807", "0 to 876600"),
    ] {
        let variable = format!("HILUM_{}", key.to_uppercase().replace('.', "_"));
        let error = from_variable(&variable, value).unwrap_err().to_string();
        assert_eq!(error, format!("`{key}` is {value}, and must be {range}"));
    }
    for key in ["pixels.frame_bytes_max", "uploads.bytes_max", "render.animation_bytes_max"] {
        let variable = format!("HILUM_{}", key.to_uppercase().replace('.', "_"));
        let error = from_variable(&variable, "0").unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{key}` must be above 0")), "{error}");
    }
    let error = from_file("[limits]\ncaller_requests_per_second_max = 5\ncaller_requests_burst_max = 0\n");
    assert!(error.unwrap_err().to_string().contains("`limits.caller_requests_burst_max`"));
}

/// `log.level = "inof"` was taken for the name of a module, and nothing at all was
/// logged; an origin with a slash at its end was never that of any browser.
#[test]
fn words_that_would_mean_nothing_are_refused() {
    for level in ["inof", "", "info,", "hilum=loud", "warn, hyper=error"] {
        let error = from_variable("HILUM_LOG_LEVEL", level).unwrap_err().to_string();
        assert!(error.starts_with("`log.level` is ") && error.contains("\"info\""), "{error}");
    }
    for level in ["INFO", "off", "info,hilum::storage=debug", "warn,hilum::storage", "info,[request]=debug"] {
        assert!(from_variable("HILUM_LOG_LEVEL", level).is_ok(), "{level}");
    }
    for origin in ["viewer", "https://viewer.example.org/", "https://a.org/path", "https://A.org", "*,null"] {
        let error = from_variable("HILUM_CORS_ORIGINS", origin).unwrap_err().to_string();
        assert!(error.starts_with("`cors.origins` has "), "{error}");
    }
    for origin in
        ["*", "http://localhost:3000", "https://viewer.example.org,https://b.org:8443", "http://[::1]:1"]
    {
        assert!(from_variable("HILUM_CORS_ORIGINS", origin).is_ok(), "{origin}");
    }
}

/// An archive was begun in whatever folder the server was started in.
#[test]
fn a_folder_without_a_name_is_refused() {
    let error = from_variable("HILUM_DATA", "").unwrap_err().to_string();
    assert!(error.starts_with("`data` is empty"), "{error}");
}

#[test]
fn wrong_types_are_told_in_words() {
    for (variable, value, told) in [
        ("HILUM_WORKERS", "many", "expected a whole number that is not below 0"),
        ("HILUM_AUTH_ISSUERS", "x", "expected a table, which a file can hold and a variable cannot"),
        ("HILUM_LISTEN", "localhost:8080", "expected an IP address and a port, such as 127.0.0.1:8080"),
    ] {
        let error = from_variable(variable, value).unwrap_err().to_string();
        assert!(error.contains(variable) && error.ends_with(told), "{error}");
    }
}
