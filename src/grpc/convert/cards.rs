//! Rate cards, calculations and their inputs, as wire messages.

use crate::ledger::Rejection;
use crate::ledger::card::{CardRef, ClassRule, FlatTier, LineRule, RateCard};
use crate::ledger::ids::LineId;
use crate::ledger::job::{Circumstances, LineTime, PriceInputs, WorkTime};
use crate::ledger::price::Step;
use crate::ledger::{ClassId, Credits, LedgerId};
use crate::query::{ClassStats, Difference, WhatIf};

use super::super::wire;
use super::values::{day, names, or_empty, short, signed, small, time};

/// A card's name and version.
pub fn card_ref(card: &CardRef) -> wire::RateCardRef {
    wire::RateCardRef { rate_card_id: card.id.to_string(), version: small(card.version) }
}

/// A rate card; without a ledger while it is only a draft.
pub fn rate_card(card: &RateCard, ledger: Option<&LedgerId>, is_default: bool) -> wire::RateCard {
    let RateCard {
        card,
        description,
        credits_per_hour,
        packages,
        time_basis,
        increment_seconds,
        minimum_seconds,
        flat,
        minimum_credits,
        charge_scale,
        multipliers,
        lines,
        emergency,
        quote_valid_days,
        free_support_days,
        confirmed_hold_only,
        classes,
    } = card;
    wire::RateCard {
        ledger_id: or_empty(ledger),
        rate_card_id: card.id.to_string(),
        version: small(card.version),
        description: description.to_string(),
        credits_per_hour: credits_per_hour.to_string(),
        increment_seconds: short(*increment_seconds),
        minimum_seconds: short(*minimum_seconds),
        minimum_credits: minimum_credits.to_string(),
        charge_scale: small(*charge_scale),
        quote_valid_days: small(*quote_valid_days),
        free_support_days: free_support_days.map(small),
        classes: classes.iter().map(|(class, rule)| class_rule(class, rule)).collect(),
        is_default,
        time_basis: time_basis.code().into(),
        flat_tier: flat.map(|FlatTier { under_seconds, credits }| wire::FlatTier {
            under_seconds: short(under_seconds),
            credits: credits.to_string(),
        }),
        multipliers: multipliers
            .iter()
            .map(|(label, factor)| wire::Multiplier { label: label.to_string(), factor: factor.to_string() })
            .collect(),
        lines: lines.iter().map(|(line, rule)| line_rate(line, *rule)).collect(),
        packages: packages
            .iter()
            .map(|(package, rate)| wire::PackageRate {
                package: package.to_string(),
                credits_per_hour: rate.to_string(),
            })
            .collect(),
        emergency: emergency.code().into(),
        confirmed_hold_only: *confirmed_hold_only,
    }
}

fn line_rate(line: &LineId, rule: LineRule) -> wire::LineRate {
    let (free, rate) = match rule {
        LineRule::Free => (true, None),
        LineRule::CreditsPerHour(rate) => (false, Some(rate)),
    };
    wire::LineRate { line: line.to_string(), free, credits_per_hour: or_empty(rate.as_ref()) }
}

fn class_rule(class: &ClassId, rule: &ClassRule) -> wire::IncidentClassRule {
    let (mode, range, rate) = match rule {
        ClassRule::Timed { range, credits_per_hour } => {
            (wire::IncidentClassMode::Timed, *range, *credits_per_hour)
        }
        ClassRule::Free => (wire::IncidentClassMode::Free, None, None),
        ClassRule::QuoteRequired => (wire::IncidentClassMode::QuoteRequired, None, None),
        ClassRule::Refused => (wire::IncidentClassMode::Refused, None, None),
    };
    wire::IncidentClassRule {
        incident_class: class.to_string(),
        mode: mode.into(),
        estimate_min_credits: or_empty(range.map(|(min, _)| min).as_ref()),
        estimate_max_credits: or_empty(range.map(|(_, max)| max).as_ref()),
        credits_per_hour: or_empty(rate.as_ref()),
    }
}

pub fn step(step: &Step) -> wire::ChargeStep {
    let Step { rule, text, credits } = step;
    wire::ChargeStep { rule: rule.code().into(), text: text.clone(), credits: or_empty(credits.as_ref()) }
}

/// The inputs of a calculation.
pub fn inputs(inputs: &PriceInputs) -> wire::ChargeInputs {
    let PriceInputs {
        class,
        opened_on,
        product_purchased_on,
        seconds,
        confirmed_quote,
        charged_before,
        waive_reason,
        package,
        circumstances: Circumstances { labels, emergency, kb_answered },
        lines,
        solutions,
        span,
        rules: _,
        before,
    } = inputs;
    wire::ChargeInputs {
        incident_class: or_empty(class.as_ref()),
        opened_on: Some(day(*opened_on)),
        product_purchase_date: product_purchased_on.map(day),
        work_seconds: signed(*seconds),
        confirmed_quote_credits: or_empty(confirmed_quote.as_ref()),
        charged_before_credits: charged_before.to_string(),
        waive_reason: waive_reason.to_string(),
        package: or_empty(package.as_ref()),
        labels: names(labels),
        emergency: *emergency,
        kb_answered: *kb_answered,
        lines: lines.iter().map(line_time).collect(),
        solutions: small(*solutions),
        first_started_at: span.map(|span| time(span.from)),
        last_ended_at: span.map(|span| time(span.until)),
        placed_seconds: span.map_or(0, |span| signed(span.seconds)),
        work_before: before.as_ref().map(work_time),
    }
}

/// Billable time of earlier settlements.
fn work_time(time: &WorkTime) -> wire::WorkTime {
    let WorkTime { seconds, lines, elapsed } = time;
    wire::WorkTime {
        work_seconds: signed(*seconds),
        lines: lines.iter().map(line_time).collect(),
        elapsed_seconds: signed(*elapsed),
    }
}

/// Time on one line of support.
pub fn line_time(time: &LineTime) -> wire::LineTime {
    let LineTime { line, seconds } = time;
    wire::LineTime { line: or_empty(line.as_ref()), work_seconds: signed(*seconds) }
}

/// The cost of past settlements under another card.
pub fn what_if(what_if: &WhatIf) -> wire::WhatIf {
    let WhatIf { settlements, charged, preview, rejected, rejected_charged, differences, next } = what_if;
    wire::WhatIf {
        settlements: signed(*settlements),
        charged_credits: charged.to_string(),
        preview_credits: preview.to_string(),
        difference_credits: or_empty(preview.checked_sub(*charged).as_ref()),
        rejected: signed(*rejected),
        rejected_charged_credits: rejected_charged.to_string(),
        differences: differences.iter().map(difference).collect(),
        next_page_token: next.clone(),
    }
}

fn difference(difference: &Difference) -> wire::WhatIfDifference {
    let Difference { hold, settled_at, charged, preview } = difference;
    wire::WhatIfDifference {
        hold_id: hold.id.to_string(),
        incident_id: hold.incident.to_string(),
        settled_at: Some(time(*settled_at)),
        charged_credits: charged.to_string(),
        preview_credits: or_empty(preview.as_ref().ok()),
        rejection: preview.as_ref().err().map(Rejection::reason).unwrap_or_default().to_owned(),
    }
}

/// How estimates of a class compare with charges.
pub fn class_stats(stats: &ClassStats) -> wire::IncidentClassStats {
    let ClassStats {
        class,
        incidents,
        estimated,
        charged,
        charged_percentiles,
        with_estimate,
        over_estimate,
        ratio_percentiles,
    } = stats;
    let percentiles = |[p50, p80, p95]: [String; 3]| wire::Percentiles { p50, p80, p95 };
    // Four decimals, as credits have.
    let decimal = |units: i64| Credits::from_units(units).to_string();
    let share = || {
        let (over, of) = (u128::from(*over_estimate), u128::from(*with_estimate));
        let share = over.saturating_mul(20_000).saturating_add(of).checked_div(of.saturating_mul(2))?;
        i64::try_from(share).ok().map(decimal)
    };
    let [_, covering, _] = charged_percentiles;
    wire::IncidentClassStats {
        incident_class: or_empty(class.as_ref()),
        incidents: signed(*incidents),
        estimated_credits: estimated.to_string(),
        charged_credits: charged.to_string(),
        charged: Some(percentiles(charged_percentiles.map(|credits| credits.to_string()))),
        incidents_with_estimate: signed(*with_estimate),
        charged_to_estimated: ratio_percentiles.map(|ratios| percentiles(ratios.map(decimal))),
        share_over_estimate: share().unwrap_or_default(),
        hold_covering_80_percent_credits: covering.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::card::{EmergencyRule, TimeBasis};
    use crate::ledger::price::StepRule;

    /// The wire's enumerations use the core's codes, so a conversion only copies the code.
    #[test]
    fn enumerations_agree_with_the_core() {
        for rule in StepRule::ALL {
            let wire = wire::StepRule::try_from(i32::from(rule.code())).unwrap();
            assert_eq!(wire.as_str_name(), format!("STEP_RULE_{rule}"));
        }
        for basis in TimeBasis::ALL {
            let wire = wire::TimeBasis::try_from(i32::from(basis.code())).unwrap();
            assert_eq!(wire.as_str_name(), format!("TIME_BASIS_{basis}"));
        }
        for rule in EmergencyRule::ALL {
            let wire = wire::EmergencyPolicy::try_from(i32::from(rule.code())).unwrap();
            assert_eq!(wire.as_str_name(), format!("EMERGENCY_POLICY_{rule}"));
        }
    }
}
