//! A rate card in which every field is set, from which tests make others.

use creditledger::grpc::wire::*;

/// A card in which every field is set.
pub fn full_card(name: &str) -> RateCard {
    let class = |class: &str, mode: IncidentClassMode| IncidentClassRule {
        incident_class: class.into(),
        mode: mode.into(),
        ..Default::default()
    };
    RateCard {
        rate_card_id: name.into(),
        description: "of everything".into(),
        credits_per_hour: "2".into(),
        increment_seconds: 60,
        minimum_seconds: 60,
        minimum_credits: "0.5".into(),
        charge_scale: 2,
        quote_valid_days: 14,
        free_support_days: Some(30),
        classes: vec![
            IncidentClassRule {
                estimate_min_credits: "1".into(),
                estimate_max_credits: "3".into(),
                credits_per_hour: "3".into(),
                ..class("design", IncidentClassMode::Timed)
            },
            class("sales", IncidentClassMode::Free),
        ],
        time_basis: TimeBasis::Sum.into(),
        flat_tier: Some(FlatTier { under_seconds: 600, credits: "1".into() }),
        multipliers: vec![Multiplier { label: "on-site".into(), factor: "2".into() }],
        lines: vec![LineRate { line: "second".into(), free: false, credits_per_hour: "4".into() }],
        packages: vec![PackageRate { package: "gold".into(), credits_per_hour: "1.5".into() }],
        emergency: EmergencyPolicy::FreeUnlessKbAnswered.into(),
        confirmed_hold_only: true,
        ..Default::default()
    }
}
