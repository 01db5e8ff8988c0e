//! Reads top-up settings from requests.

use std::sync::Arc;

use crate::ledger::TopUp;

use super::parse::{Amount, Fields, complete};
use super::wire;

/// Reads settings, which may be left out.
pub fn read(fields: &mut Fields, settings: Option<wire::TopUpSettings>) -> Option<Option<Arc<TopUp>>> {
    let Some(settings) = settings else { return Some(None) };
    let wire::TopUpSettings {
        below_credits,
        target_credits,
        monthly_cap_credits,
        cool_down_seconds,
        lapse_seconds,
    } = settings;
    fields.within("top_up", |fields| {
        let below = fields.credits("below_credits", &below_credits, Amount::Positive);
        let target = fields.credits("target_credits", &target_credits, Amount::Positive);
        let cap = fields.optional_credits("monthly_cap_credits", monthly_cap_credits, Amount::Positive);
        let cool_down =
            seconds(fields, "cool_down_seconds", cool_down_seconds, TopUp::COOL_DOWN_SECONDS_DEFAULT);
        let lapse = seconds(fields, "lapse_seconds", lapse_seconds, TopUp::LAPSE_SECONDS_DEFAULT);
        let (target, cap) = match below.zip(target) {
            Some((below, target)) if target <= below => {
                (fields.refuse("target_credits", "must be more than below_credits"), cap)
            }
            Some((below, target))
                if cap.flatten().is_some_and(|cap| cap < target.less_at_least_zero(below)) =>
            {
                let problem = "must be at least target_credits less below_credits";
                (Some(target), fields.refuse("monthly_cap_credits", problem))
            }
            Some(_) | None => (target, cap),
        };
        let settings = complete!(TopUp {
            below: below,
            target: target,
            monthly_cap: cap,
            cool_down_seconds: cool_down,
            lapse_seconds: lapse,
        });
        settings.map(|settings| Some(Arc::new(settings)))
    })
}

/// A time within the bounds of top-ups; 0 means the default.
fn seconds(fields: &mut Fields, field: &str, given: i32, default: u32) -> Option<u32> {
    let (least, most) = (TopUp::SECONDS_MIN, TopUp::SECONDS_MAX);
    match u32::try_from(given) {
        Ok(0) => Some(default),
        Ok(given) if (least..=most).contains(&given) => Some(given),
        Ok(_) | Err(_) => fields.refuse(field, format!("must be 0 or from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::parse::parse;

    fn good() -> wire::TopUpSettings {
        wire::TopUpSettings {
            below_credits: "5".into(),
            target_credits: "20".into(),
            ..wire::TopUpSettings::default()
        }
    }

    /// The fields that are wrong, or the settings as they are shown.
    fn read_all(settings: wire::TopUpSettings) -> Result<wire::TopUpSettings, Vec<String>> {
        let read = parse(settings, |settings, fields| read(fields, Some(settings)));
        match read {
            Ok(read) => Ok(crate::grpc::convert::top_up_settings(&read.unwrap())),
            Err(violations) => Err(violations.shown.into_iter().map(|violation| violation.field).collect()),
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let shown = wire::TopUpSettings { cool_down_seconds: 3_600, lapse_seconds: 86_400, ..good() };
        assert_eq!(read_all(good()), Ok(shown));
        let all = wire::TopUpSettings {
            monthly_cap_credits: Some("15".into()),
            cool_down_seconds: 60,
            lapse_seconds: 2_678_400,
            ..good()
        };
        assert_eq!(read_all(all.clone()), Ok(all), "15 is just what is missing at 5");
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let bad = wire::TopUpSettings {
            below_credits: "0".into(),
            target_credits: "much".into(),
            monthly_cap_credits: Some("0".into()),
            cool_down_seconds: 59,
            lapse_seconds: 2_678_401,
        };
        let names =
            ["below_credits", "target_credits", "monthly_cap_credits", "cool_down_seconds", "lapse_seconds"];
        assert_eq!(read_all(bad), Err(names.map(|name| format!("top_up.{name}")).to_vec()));
        for (bad, field) in [
            (wire::TopUpSettings { target_credits: "5.00".into(), ..good() }, "target_credits"),
            (
                wire::TopUpSettings { monthly_cap_credits: Some("14.9999".into()), ..good() },
                "monthly_cap_credits",
            ),
            (wire::TopUpSettings { cool_down_seconds: -1, ..good() }, "cool_down_seconds"),
            (wire::TopUpSettings { below_credits: String::new(), ..good() }, "below_credits"),
        ] {
            assert_eq!(read_all(bad.clone()), Err(vec![format!("top_up.{field}")]), "{bad:?}");
        }
    }
}
