//! Which events a posting means beyond its own: missing credits, and thresholds of the balance.

use crate::credits::{Amount, Customer, Posted, Threshold};

impl Customer {
    /// Tells how many credits are missing for an incident, where the amount is another than the last one told.
    pub fn tell_missing(&mut self, posted: &mut Posted, incident: u8, missing: Amount) {
        if missing > 0 && self.missing.insert(incident, missing) != Some(missing) {
            posted.events.push(format!("credits.shortfall {incident} {missing}"));
        }
    }

    fn level(&self, threshold: Threshold) -> Option<Amount> {
        match threshold {
            Threshold::Credits(credits) => Some(credits),
            Threshold::Percent(percent) => {
                (self.last_purchase > 0).then_some(self.last_purchase * percent / 100)
            }
        }
    }

    /// What the change of the balance since `before` means.
    pub fn tell_balance(&mut self, before: &Self, posted: &mut Posted) {
        let was_set = posted.kind == "SET_BALANCE_ALERTS";
        let crossed = |threshold: &Threshold| {
            let (was, is) = (before.level(*threshold), self.level(*threshold));
            was.is_some_and(|was| before.available > was) && is.is_some_and(|is| self.available <= is)
        };
        let stays_told = |(threshold, level): &(Threshold, Amount)| {
            let margin = (level * 20 / 100).max(10_000);
            self.alerts.contains(threshold)
                && self.level(*threshold) == Some(*level)
                && self.available <= level + margin
        };
        let mut told: Vec<_> = self.told.iter().copied().filter(stays_told).collect();
        let all_armed = told.is_empty();
        let crossings = self.alerts.iter().filter(|threshold| !was_set && crossed(threshold));
        let at = |threshold: &Threshold| (*threshold, self.level(*threshold).unwrap_or_default());
        let new: Vec<_> = crossings.map(at).filter(|crossing| !told.contains(crossing)).collect();
        let low = !new.is_empty();
        told.extend(new);
        let depleted = before.available > 0 && self.available == 0;
        let above = |threshold: &Threshold| self.level(*threshold).is_none_or(|level| self.available > level);
        let recovered = self.is_low && self.available > 0 && all_armed && self.alerts.iter().all(above);
        for (happened, event) in
            [(low, "balance.low"), (depleted, "balance.depleted"), (recovered, "balance.recovered")]
        {
            if happened {
                posted.events.push(format!("{event} {}", self.available));
            }
        }
        self.told = told;
        self.is_low = !recovered && (self.is_low || low || depleted);
    }
}
