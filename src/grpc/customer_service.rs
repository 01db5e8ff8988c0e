//! CustomerService: the customers of a ledger, and their agreements.

use crate::clock;
use crate::ledger::Command;
use crate::ledger::commands::{
    Change, CloseCustomer, CreateCustomer, ReopenCustomer, SetCustomerTerms, UpdateCustomer,
};
use crate::ledger::customer::{Contact, Profile, Terms};
use crate::ledger::ids::{CardId, PackageId};
use crate::query::{CustomerFilter, CustomerRecord, PageRequest};

use super::api::{Call, Reply, show_page};
use super::command::{AcceptedCommand, CommandMessage, Shown};
use super::context::Reason;
use super::parse::{Amount, Fields, complete, read_mask};
use super::wire::{self, *};
use super::{convert, top_up};

impl Call {
    pub(super) async fn get_customer(&self, message: GetCustomerRequest) -> Reply<GetCustomerResponse> {
        let read = |message, fields: &mut Fields| {
            let GetCustomerRequest { ledger_id: _, customer_id } = message;
            fields.customer(&customer_id)
        };
        let (ledger, customer) = self.read(message, read).await?;
        let record = self.reader.customer_record(ledger.no, &customer).await?;
        let CustomerRecord { customer, profile } = &record;
        let customer = Some(convert::customer(customer, profile, &ledger.id, clock::now()));
        Ok(GetCustomerResponse { customer })
    }

    pub(super) async fn list_customers(&self, message: ListCustomersRequest) -> Reply<ListCustomersResponse> {
        let (ledger, (filter, page)) = self.read(message, read_list).await?;
        let listed = self.reader.customers(ledger.no, &filter, &page).await?;
        let show = |CustomerRecord { customer, profile }: &CustomerRecord| {
            convert::customer(customer, profile, &ledger.id, clock::now())
        };
        let (customers, next_page_token) = show_page(listed, show);
        Ok(ListCustomersResponse { customers, next_page_token })
    }
}

/// The customer as it is after the command.
impl Shown for Customer {
    fn of(accepted: &AcceptedCommand) -> Option<Self> {
        let now = accepted.answer.about.as_deref()?;
        Some(convert::customer(&now.customer, &now.profile, &accepted.ledger.id, clock::now()))
    }
}

fn read_list(message: ListCustomersRequest, fields: &mut Fields) -> Option<(CustomerFilter, PageRequest)> {
    let ListCustomersRequest {
        ledger_id: _,
        name_prefix,
        contact_email,
        metadata_key,
        metadata_value,
        closed,
        low,
        owing,
        page_size,
        page_token,
    } = message;
    let name_prefix = fields.text("name_prefix", &name_prefix);
    let email = fields.text("contact_email", &contact_email);
    let key = fields.text("metadata_key", &metadata_key);
    let value = if metadata_key.is_empty() && !metadata_value.is_empty() {
        fields.refuse("metadata_value", "must be empty without a metadata_key")
    } else {
        fields.text("metadata_value", &metadata_value)
    };
    let filter = complete!(CustomerFilter {
        name_prefix: name_prefix,
        email: email.map(|email| Some(email).filter(|email| !email.is_empty())),
        metadata: key.zip(value).map(|pair| Some(pair).filter(|(key, _)| !key.is_empty())),
        closed,
        low,
        owing,
    });
    filter.zip(fields.page(page_size, page_token))
}

impl CommandMessage for CreateCustomerRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, name, contact, metadata, terms } = self;
        let profile = complete!(Profile {
            name: fields.text("name", &name),
            contact: read_contact(fields, contact),
            metadata: fields.metadata(metadata),
        });
        // As SetCustomerTerms: otherwise a new customer would be the way around it.
        let has_terms = terms.as_ref().is_some_and(|terms| *terms != CustomerTerms::default());
        fields.operators_only("terms", has_terms)?;
        let CustomerTerms { rate_card_id, package, product_purchase_date, top_up } =
            terms.unwrap_or_default();
        let terms = fields.within("terms", |fields| {
            complete!(Terms {
                rate_card: fields.optional("rate_card_id", &rate_card_id, CardId::parse),
                package: fields.optional("package", &package, PackageId::parse),
                product_purchased_on: fields.day("product_purchase_date", product_purchase_date),
                top_up: top_up::read(fields, top_up),
            })
        });
        complete!(Command::CreateCustomer { profile: profile, terms: terms })
    }
}

impl CommandMessage for UpdateCustomerRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, name, contact, metadata, update_mask } = self;
        let named = read_mask(fields, update_mask, ["name", "contact", "metadata"]);
        let name = fields.text("name", &name);
        let contact = read_contact(fields, contact);
        let metadata = fields.metadata(metadata);
        let [names_name, names_contact, names_metadata] = named?;
        let command = UpdateCustomer {
            name: Some(name?).filter(|_| names_name),
            contact: Some(contact?).filter(|_| names_contact),
            metadata: Some(metadata?).filter(|_| names_metadata),
        };
        Some(Command::UpdateCustomer(command))
    }
}

impl CommandMessage for CloseCustomerRequest {
    fn read(self, _: &mut Fields) -> Option<Command> {
        let Self { context: _ } = self;
        Some(Command::CloseCustomer(CloseCustomer))
    }
}

impl CommandMessage for ReopenCustomerRequest {
    fn read(self, _: &mut Fields) -> Option<Command> {
        let Self { context: _ } = self;
        Some(Command::ReopenCustomer(ReopenCustomer))
    }
}

impl CommandMessage for SetCustomerTermsRequest {
    /// A charge must state its reason.
    fn reason(&self) -> Reason {
        if self.charge_credits.is_some() { Reason::Required } else { Reason::Optional }
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self {
            context: _,
            rate_card_id,
            package,
            product_purchase_date,
            update_mask,
            charge_credits,
            top_up,
        } = self;
        let rate_card = fields.optional("rate_card_id", &rate_card_id, CardId::parse);
        let package = fields.optional("package", &package, PackageId::parse);
        let purchased_on = fields.day("product_purchase_date", product_purchase_date);
        let legal = ["rate_card_id", "package", "product_purchase_date", "top_up"];
        let named = read_mask(fields, update_mask, legal);
        let charge = fields.optional_credits("charge_credits", charge_credits, Amount::Positive);
        let top_up = top_up::read(fields, top_up);
        let [names_card, names_package, names_date, names_top_up] = named?;
        let command = SetCustomerTerms {
            rate_card: change(names_card, rate_card?),
            package: change(names_package, package?),
            product_purchased_on: change(names_date, purchased_on?),
            top_up: change(names_top_up, top_up?),
            charge: charge?.unwrap_or_default(),
        };
        Some(Command::SetCustomerTerms(command))
    }
}

fn read_contact(fields: &mut Fields, contact: Option<wire::Contact>) -> Option<Contact> {
    let wire::Contact { name, email, locale } = contact.unwrap_or_default();
    fields.within("contact", |fields| {
        complete!(Contact {
            name: fields.text("name", &name),
            email: fields.text("email", &email),
            locale: fields.text("locale", &locale),
        })
    })
}

fn change<T>(named: bool, value: Option<T>) -> Change<T> {
    match (named, value) {
        (false, _) => Change::Keep,
        (true, None) => Change::Clear,
        (true, Some(value)) => Change::Set(value),
    }
}
