//! The requests of HoldService that change something, read into commands.

use crate::ledger::commands::{
    ChargeIncident, CloseIncident, ConfirmEstimate, DeclineEstimate, EstimateIncident, ExtendHold, HoldRef,
    NewWork, Overrun, PlaceHold, Quote, RecordWork, ReleaseHold, ReverseSettlement, SettleHold, VoidWork,
};
use crate::ledger::ids::{LabelId, LineId, WorkId};
use crate::ledger::job::Circumstances;
use crate::ledger::{ClassId, Command, HoldId, IncidentId};

use super::command::CommandMessage;
use super::context::Reason;
use super::parse::{Amount, Fields};
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
        let Self {
            context: _,
            incident_id,
            incident_class,
            quote,
            opened_at,
            expires_at,
            range_override_reason,
            note,
            park,
            labels,
            emergency,
            kb_answered,
        } = self;
        let quote = quote.map(|quote| match quote {
            place_hold_request::Quote::Credits(credits) => estimate_incident_request::Quote::Credits(credits),
            place_hold_request::Quote::EstimatedSeconds(seconds) => {
                estimate_incident_request::Quote::EstimatedSeconds(seconds)
            }
        });
        let estimate = EstimateIncidentRequest {
            context: None,
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
        };
        read_estimate(fields, estimate).map(|estimate| Command::PlaceHold(PlaceHold { estimate, park }))
    }
}

fn read_estimate(fields: &mut Fields, message: EstimateIncidentRequest) -> Option<EstimateIncident> {
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
    let incident = fields.take("incident_id", IncidentId::parse(&incident_id));
    let class = fields.optional("incident_class", &incident_class, ClassId::parse);
    let quote = match quote {
        Some(estimate_incident_request::Quote::Credits(credits)) => {
            fields.credits("credits", &credits, Amount::AtLeastZero).map(Quote::Credits)
        }
        Some(estimate_incident_request::Quote::EstimatedSeconds(seconds)) => {
            fields.number("estimated_seconds", seconds.into(), NewWork::SECONDS_MAX).map(Quote::Seconds)
        }
        None => Some(Quote::Class),
    };
    let opened_at = fields.time("opened_at", opened_at);
    let expires_at = fields.time("expires_at", expires_at);
    let range_override = fields.text("range_override_reason", &range_override_reason);
    let note = fields.text("note", &note);
    let labels = read_labels(fields, labels);
    Some(EstimateIncident {
        incident: incident?,
        class: class?,
        quote: quote?,
        opened_at: opened_at?,
        expires_at: expires_at?,
        range_override: range_override?,
        note: note?,
        circumstances: Circumstances { labels: labels?, emergency, kb_answered },
    })
}

/// What an incident may cost more for, in order and each once.
pub(super) fn read_labels(fields: &mut Fields, labels: Vec<String>) -> Option<Vec<LabelId>> {
    if labels.len() > Circumstances::LABELS_MAX {
        return fields.refuse("labels", format!("must be at most {}", Circumstances::LABELS_MAX));
    }
    let mut labels =
        fields.each("labels", labels, |fields, label| fields.take("", LabelId::parse(&label)))?;
    labels.sort_unstable();
    labels.dedup();
    Some(labels)
}

impl CommandMessage for ConfirmEstimateRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, park } = self;
        let hold = read_hold(fields, target);
        Some(Command::ConfirmEstimate(ConfirmEstimate { hold: hold?, park }))
    }
}

impl CommandMessage for DeclineEstimateRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target } = self;
        let hold = read_hold(fields, target);
        Some(Command::DeclineEstimate(DeclineEstimate { hold: hold? }))
    }
}

impl CommandMessage for ExtendHoldRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, credits } = self;
        let hold = read_hold(fields, target);
        let credits = fields.credits("credits", &credits, Amount::Positive);
        let command = ExtendHold { hold: hold?, credits: credits? };
        Some(Command::ExtendHold(command))
    }
}

/// What two messages say about work, before it is read.
struct WorkFields {
    work_seconds: i32,
    started_at: Option<prost_types::Timestamp>,
    line: String,
    solutions: i32,
    note: String,
    labels: Vec<String>,
}

fn read_work(fields: &mut Fields, work: WorkFields) -> Option<NewWork> {
    let WorkFields { work_seconds, started_at, line, solutions, note, labels } = work;
    let seconds = fields.number("work_seconds", work_seconds.into(), NewWork::SECONDS_MAX);
    let started_at = fields.time("started_at", started_at);
    let line = fields.optional("line", &line, LineId::parse);
    let solutions = fields.number("solutions", solutions.into(), NewWork::SOLUTIONS_MAX.into());
    let note = fields.text("note", &note);
    let labels = read_labels(fields, labels);
    Some(NewWork {
        seconds: seconds?,
        started_at: started_at?,
        line: line?,
        solutions: u32::try_from(solutions?).ok()?,
        note: note?,
        labels: labels?,
    })
}

impl CommandMessage for RecordWorkRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, work_seconds, started_at, line, solutions, note, labels } = self;
        let hold = read_hold(fields, target);
        let work = read_work(fields, WorkFields { work_seconds, started_at, line, solutions, note, labels });
        Some(Command::RecordWork(RecordWork { hold: hold?, work: work? }))
    }
}

impl CommandMessage for VoidWorkRequest {
    fn reason(&self) -> Reason {
        Reason::Required
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, work_id } = self;
        let hold = read_hold(fields, target);
        let work = fields.made_id("work_id", &work_id, WorkId::from_uuid);
        Some(Command::VoidWork(VoidWork { hold: hold?, work: work? }))
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
        let hold = read_hold(fields, target);
        let overrun = fields.known("overrun", overrun).map(|policy| match policy {
            OverrunPolicy::Unspecified | OverrunPolicy::TakeAvailable => Overrun::TakeAvailable,
            OverrunPolicy::CapAtHold => Overrun::CapAtHold,
        });
        let max_charge = max_charge_credits.as_deref();
        let max_charge = fields.optional_credits("max_charge_credits", max_charge, Amount::AtLeastZero);
        let expected_work_seconds = read_expected(fields, expected_work_seconds);
        let waive_reason = fields.text("waive_reason", &waive_reason);
        let labels = read_labels(fields, labels);
        let command = SettleHold {
            hold: hold?,
            overrun: overrun?,
            max_charge: max_charge?,
            expected_work_seconds: expected_work_seconds?,
            waive_reason: waive_reason?,
            labels: labels?,
            emergency,
            kb_answered,
        };
        Some(Command::SettleHold(command))
    }
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
        let hold = read_hold(fields, target);
        let waive_reason = fields.text("waive_reason", &waive_reason);
        let command = ReleaseHold { hold: hold?, waive_reason: waive_reason? };
        Some(Command::ReleaseHold(command))
    }
}

impl CommandMessage for CloseIncidentRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, max_charge_credits, expected_work_seconds } = self;
        let hold = read_hold(fields, target);
        let max_charge = max_charge_credits.as_deref();
        let max_charge = fields.optional_credits("max_charge_credits", max_charge, Amount::AtLeastZero);
        let expected_work_seconds = read_expected(fields, expected_work_seconds);
        let command = CloseIncident {
            hold: hold?,
            max_charge: max_charge?,
            expected_work_seconds: expected_work_seconds?,
        };
        Some(Command::CloseIncident(command))
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
        } = self;
        let incident = fields.take("incident_id", IncidentId::parse(&incident_id));
        let class = fields.optional("incident_class", &incident_class, ClassId::parse);
        let work = WorkFields { work_seconds, started_at, line, solutions, note, labels: Vec::new() };
        let work = read_work(fields, work);
        let labels = read_labels(fields, labels);
        let opened_at = fields.time("opened_at", opened_at);
        let max_charge = max_charge_credits.as_deref();
        let max_charge = fields.optional_credits("max_charge_credits", max_charge, Amount::AtLeastZero);
        let waive_reason = fields.text("waive_reason", &waive_reason);
        let command = ChargeIncident {
            incident: incident?,
            class: class?,
            work: work?,
            opened_at: opened_at?,
            max_charge: max_charge?,
            waive_reason: waive_reason?,
            circumstances: Circumstances { labels: labels?, emergency, kb_answered },
        };
        Some(Command::ChargeIncident(command))
    }
}

impl CommandMessage for ReverseSettlementRequest {
    fn reason(&self) -> Reason {
        Reason::Required
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, target, credits } = self;
        let hold = read_hold(fields, target);
        let credits = fields.optional_credits("credits", credits.as_deref(), Amount::Positive);
        let command = ReverseSettlement { hold: hold?, credits: credits? };
        Some(Command::ReverseSettlement(command))
    }
}
