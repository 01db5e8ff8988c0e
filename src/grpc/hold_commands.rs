//! The commands of HoldService, read from their requests.

use crate::ledger::commands::{
    ChargeIncident, CloseIncident, ConfirmEstimate, DeclineEstimate, EstimateIncident, ExtendHold, HoldRef,
    NewWork, Overrun, PlaceHold, Quote, RecordWork, ReleaseHold, ReverseSettlement, SettleHold, VoidWork,
};
use crate::ledger::ids::{LineId, WorkId};
use crate::ledger::job::Circumstances;
use crate::ledger::{ClassId, Command, Credits, HoldId, IncidentId, Text};

use super::command::CommandMessage;
use super::context::Reason;
use super::parse::{Amount, Fields, complete};
use super::wire::*;

/// The hold that a request names.
pub fn read_hold(fields: &mut Fields, target: Option<HoldTarget>) -> Option<HoldRef> {
    match target.and_then(|target| target.target) {
        Some(hold_target::Target::HoldId(id)) => fields.within("target", |fields| {
            fields.made_id("hold_id", &id, |id| HoldRef::Id(HoldId::from_uuid(id)))
        }),
        Some(hold_target::Target::IncidentId(id)) => fields.within("target", |fields| {
            fields.take("incident_id", IncidentId::parse(&id)).map(HoldRef::Incident)
        }),
        None => fields.refuse("target", "must be a hold_id or an incident_id"),
    }
}

impl CommandMessage for EstimateIncidentRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        read_estimate(fields, self).map(Command::EstimateIncident)
    }
}

impl CommandMessage for PlaceHoldRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let park = self.park;
        let estimate = read_estimate(fields, self.into());
        complete!(Command::PlaceHold { estimate: estimate, park })
    }
}

fn read_estimate(fields: &mut Fields, message: EstimateIncidentRequest) -> Option<EstimateIncident> {
    use estimate_incident_request::Quote as Asked;
    let EstimateIncidentRequest {
        context: _,
        incident_id,
        incident_class,
        quote,
        opened_at,
        expires_at,
        range_override_reason,
        note,
        labels,
        emergency,
        kb_answered,
    } = message;
    complete!(EstimateIncident {
        incident: fields.take("incident_id", IncidentId::parse(&incident_id)),
        class: fields.optional("incident_class", &incident_class, ClassId::parse),
        quote: match quote {
            Some(Asked::Credits(credits)) => {
                fields.credits("credits", &credits, Amount::AtLeastZero).map(Quote::Credits)
            }
            Some(Asked::EstimatedSeconds(seconds)) => {
                fields.number("estimated_seconds", seconds.into(), NewWork::SECONDS_MAX).map(Quote::Seconds)
            }
            None => Some(Quote::Class),
        },
        opened_at: fields.time("opened_at", opened_at),
        expires_at: fields.time("expires_at", expires_at),
        range_override: fields.range_override_reason(&range_override_reason),
        note: fields.text("note", &note),
        circumstances: read_circumstances(fields, labels, emergency, kb_answered),
    })
}

fn read_circumstances(
    fields: &mut Fields,
    labels: Vec<String>,
    emergency: bool,
    kb_answered: bool,
) -> Option<Circumstances> {
    complete!(Circumstances { labels: fields.labels(labels), emergency, kb_answered })
}

impl CommandMessage for ConfirmEstimateRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, park } = self;
        complete!(Command::ConfirmEstimate { hold: read_hold(fields, target), park })
    }
}

impl CommandMessage for DeclineEstimateRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target } = self;
        complete!(Command::DeclineEstimate { hold: read_hold(fields, target) })
    }
}

impl CommandMessage for ExtendHoldRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, credits } = self;
        complete!(Command::ExtendHold {
            hold: read_hold(fields, target),
            credits: fields.credits("credits", &credits, Amount::Positive),
        })
    }
}

/// The fields that every message about work has, except note and labels.
pub fn read_work(
    fields: &mut Fields,
    work_seconds: i32,
    started_at: Option<prost_types::Timestamp>,
    line: &str,
    solutions: i32,
) -> Option<NewWork> {
    complete!(NewWork {
        seconds: fields.number("work_seconds", work_seconds.into(), NewWork::SECONDS_MAX),
        started_at: fields.time("started_at", started_at),
        line: fields.optional("line", line, LineId::parse),
        solutions: fields.count("solutions", solutions, NewWork::SOLUTIONS_MAX),
        note: Some(Text::EMPTY),
        labels: Some(Vec::new()),
    })
}

impl CommandMessage for RecordWorkRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, work_seconds, started_at, line, solutions, note, labels } = self;
        let hold = read_hold(fields, target);
        let work = read_work(fields, work_seconds, started_at, &line, solutions);
        let note = fields.text("note", &note);
        let labels = fields.labels(labels);
        let work = NewWork { note: note?, labels: labels?, ..work? };
        Some(Command::RecordWork(RecordWork { hold: hold?, work }))
    }
}

impl CommandMessage for VoidWorkRequest {
    fn reason(&self) -> Reason {
        Reason::Required
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, work_id } = self;
        complete!(Command::VoidWork {
            hold: read_hold(fields, target),
            work: fields.made_id("work_id", &work_id, WorkId::from_uuid),
        })
    }
}

impl CommandMessage for SettleHoldRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self {
            context: _,
            target,
            overrun,
            max_charge_credits,
            expected_work_seconds,
            waive_reason,
            labels,
            emergency,
            kb_answered,
        } = self;
        complete!(Command::SettleHold {
            hold: read_hold(fields, target),
            overrun: fields.known("overrun", overrun).map(|policy| match policy {
                OverrunPolicy::Unspecified | OverrunPolicy::TakeAvailable => Overrun::TakeAvailable,
                OverrunPolicy::CapAtHold => Overrun::CapAtHold,
            }),
            max_charge: read_max_charge(fields, max_charge_credits),
            expected_work_seconds: read_expected(fields, expected_work_seconds),
            waive_reason: fields.waive_reason(&waive_reason),
            labels: fields.labels(labels),
            emergency,
            kb_answered,
        })
    }
}

fn read_max_charge(fields: &mut Fields, credits: Option<String>) -> Option<Option<Credits>> {
    fields.optional_credits("max_charge_credits", credits, Amount::AtLeastZero)
}

fn read_expected(fields: &mut Fields, seconds: Option<i64>) -> Option<Option<u64>> {
    match seconds {
        Some(seconds) => fields.number("expected_work_seconds", seconds, i64::MAX.unsigned_abs()).map(Some),
        None => Some(None),
    }
}

impl CommandMessage for ReleaseHoldRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, waive_reason } = self;
        complete!(Command::ReleaseHold {
            hold: read_hold(fields, target),
            waive_reason: fields.waive_reason(&waive_reason),
        })
    }
}

impl CommandMessage for CloseIncidentRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, max_charge_credits, expected_work_seconds } = self;
        complete!(Command::CloseIncident {
            hold: read_hold(fields, target),
            max_charge: read_max_charge(fields, max_charge_credits),
            expected_work_seconds: read_expected(fields, expected_work_seconds),
        })
    }
}

impl CommandMessage for ChargeIncidentRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self {
            context: _,
            incident_id,
            incident_class,
            work_seconds,
            started_at,
            line,
            solutions,
            note,
            opened_at,
            max_charge_credits,
            waive_reason,
            labels,
            emergency,
            kb_answered,
            expected_charged_credits,
        } = self;
        let work = read_work(fields, work_seconds, started_at, &line, solutions);
        complete!(Command::ChargeIncident {
            incident: fields.take("incident_id", IncidentId::parse(&incident_id)),
            class: fields.optional("incident_class", &incident_class, ClassId::parse),
            work: work.zip(fields.text("note", &note)).map(|(work, note)| NewWork { note, ..work }),
            circumstances: read_circumstances(fields, labels, emergency, kb_answered),
            opened_at: fields.time("opened_at", opened_at),
            max_charge: read_max_charge(fields, max_charge_credits),
            waive_reason: fields.waive_reason(&waive_reason),
            expected_charged: fields.optional_credits(
                "expected_charged_credits",
                expected_charged_credits,
                Amount::AtLeastZero,
            ),
        })
    }
}

impl CommandMessage for ReverseSettlementRequest {
    fn reason(&self) -> Reason {
        Reason::Required
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, credits } = self;
        complete!(Command::ReverseSettlement {
            hold: read_hold(fields, target),
            credits: fields.optional_credits("credits", credits, Amount::Positive),
        })
    }
}
