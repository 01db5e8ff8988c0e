//! CustomerService: who customers are, and what was agreed with them.

use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::clock;
use crate::ledger::commands::{
    Change, CloseCustomer, CreateCustomer, ReopenCustomer, SetCustomerTerms, UpdateCustomer,
};
use crate::ledger::customer::{Contact, Profile, Terms};
use crate::ledger::ids::{CardId, PackageId};
use crate::ledger::{Command, Credits, LedgerId};
use crate::query::{CustomerFilter, CustomerRecord, PageRequest};

use super::command::CommandMessage;
use super::context::Reason;
use super::parse::{Amount, Fields, parse, read_mask};
use super::wire::customer_service_server::CustomerService;
use super::wire::{self, *};
use super::{Api, PAGE_BYTES_MAX, convert, top_up};

#[async_trait]
impl CustomerService for Api {
    async fn create_customer(
        &self,
        request: Request<CreateCustomerRequest>,
    ) -> Result<Response<CreateCustomerResponse>, Status> {
        self.execute_and_read(request).await
    }

    async fn get_customer(
        &self,
        request: Request<GetCustomerRequest>,
    ) -> Result<Response<GetCustomerResponse>, Status> {
        let (ledger, customer) = parse(request.into_inner(), |message, fields| {
            let GetCustomerRequest { ledger_id, customer_id } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let customer = fields.customer(&customer_id);
            Some((ledger?, customer?))
        })?;
        let no = self.ledger(&ledger).await?;
        let record = self.reader.customer_record(no, &customer).await?;
        let customer = Some(convert::customer(&record, &ledger, clock::now()));
        Ok(Response::new(GetCustomerResponse { customer }))
    }

    async fn update_customer(
        &self,
        request: Request<UpdateCustomerRequest>,
    ) -> Result<Response<UpdateCustomerResponse>, Status> {
        self.execute_and_read(request).await
    }

    async fn list_customers(
        &self,
        request: Request<ListCustomersRequest>,
    ) -> Result<Response<ListCustomersResponse>, Status> {
        let (ledger, filter, page) = parse(request.into_inner(), read_list)?;
        let no = self.ledger(&ledger).await?;
        let listed = self.reader.customers(no, &filter, &page).await?;
        let shown = |record: &CustomerRecord| convert::customer(record, &ledger, clock::now());
        let (customers, next_page_token) = listed.show(PAGE_BYTES_MAX, shown, Message::encoded_len);
        Ok(Response::new(ListCustomersResponse { customers, next_page_token }))
    }

    async fn close_customer(
        &self,
        request: Request<CloseCustomerRequest>,
    ) -> Result<Response<CloseCustomerResponse>, Status> {
        self.execute_and_read(request).await
    }

    async fn reopen_customer(
        &self,
        request: Request<ReopenCustomerRequest>,
    ) -> Result<Response<ReopenCustomerResponse>, Status> {
        self.execute_and_read(request).await
    }

    async fn set_customer_terms(
        &self,
        request: Request<SetCustomerTermsRequest>,
    ) -> Result<Response<SetCustomerTermsResponse>, Status> {
        self.execute_and_read(request).await
    }
}

/// The outcome, and the customer as it is after it.
type Changed = (wire::CommandOutcome, wire::Customer);

impl Api {
    async fn execute_and_read<M, R>(&self, request: Request<M>) -> Result<Response<R>, Status>
    where
        M: CommandMessage,
        R: From<Changed>,
    {
        let accepted = self.run(request).await?;
        let record = self.reader.customer_record(accepted.ledger, &accepted.customer).await?;
        let customer = convert::customer(&record, &accepted.ledger_id, clock::now());
        // Of one read, so that the two balances of an answer are the same.
        let outcome = wire::CommandOutcome { balance: customer.balance.clone(), ..accepted.outcome() };
        Ok(Response::new((outcome, customer).into()))
    }
}

macro_rules! answers {
    ($($response:ident),* $(,)?) => {
        $(impl From<Changed> for $response {
            fn from((outcome, customer): Changed) -> Self {
                Self { outcome: Some(outcome), customer: Some(customer) }
            }
        })*
    };
}
answers!(
    CreateCustomerResponse,
    UpdateCustomerResponse,
    CloseCustomerResponse,
    ReopenCustomerResponse,
    SetCustomerTermsResponse,
);

/// Which customers.
fn read_list(
    message: ListCustomersRequest,
    fields: &mut Fields,
) -> Option<(LedgerId, CustomerFilter, PageRequest)> {
    let ListCustomersRequest {
        ledger_id,
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
    let ledger = fields.ledger_or_main(&ledger_id);
    let name_prefix = fields.text("name_prefix", &name_prefix);
    let email = fields.text("contact_email", &contact_email);
    let key = fields.text("metadata_key", &metadata_key);
    let value = if metadata_key.is_empty() && !metadata_value.is_empty() {
        fields.refuse("metadata_value", "must be empty without a metadata_key")
    } else {
        fields.text("metadata_value", &metadata_value)
    };
    let page = fields.page(page_size, page_token);
    let filter = CustomerFilter {
        name_prefix: name_prefix?,
        email: Some(email?).filter(|email| !email.is_empty()),
        metadata: Some((key?, value?)).filter(|(key, _)| !key.is_empty()),
        closed,
        low,
        owing,
    };
    Some((ledger?, filter, page?))
}

impl CommandMessage for CreateCustomerRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, name, contact, metadata, terms } = self;
        let name = fields.text("name", &name);
        let contact = read_contact(fields, contact);
        let metadata = fields.metadata(metadata);
        let CustomerTerms { rate_card_id, package, product_purchase_date, top_up } =
            terms.unwrap_or_default();
        let terms = fields.within("terms", |fields| {
            let rate_card = fields.optional("rate_card_id", &rate_card_id, CardId::parse);
            let package = fields.optional("package", &package, PackageId::parse);
            let product_purchased_on = fields.day("product_purchase_date", product_purchase_date);
            let top_up = top_up::read(fields, top_up);
            Some(Terms {
                rate_card: rate_card?,
                package: package?,
                product_purchased_on: product_purchased_on?,
                top_up: top_up?,
            })
        });
        let profile = Profile { name: name?, contact: contact?, metadata: metadata? };
        Some(Command::CreateCustomer(CreateCustomer { profile, terms: terms? }))
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
    /// A charge says what it is for.
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
        let charge = fields.optional_credits("charge_credits", charge_credits.as_deref(), Amount::Positive);
        let top_up = top_up::read(fields, top_up);
        let [names_card, names_package, names_date, names_top_up] = named?;
        let command = SetCustomerTerms {
            rate_card: change(names_card, rate_card?),
            package: change(names_package, package?),
            product_purchased_on: change(names_date, purchased_on?),
            top_up: change(names_top_up, top_up?),
            charge: charge?.unwrap_or(Credits::ZERO),
        };
        Some(Command::SetCustomerTerms(command))
    }
}

fn read_contact(fields: &mut Fields, contact: Option<wire::Contact>) -> Option<Contact> {
    let wire::Contact { name, email, locale } = contact.unwrap_or_default();
    fields.within("contact", |fields| {
        let name = fields.text("name", &name);
        let email = fields.text("email", &email);
        let locale = fields.text("locale", &locale);
        Some(Contact { name: name?, email: email?, locale: locale? })
    })
}

fn change<T>(named: bool, value: Option<T>) -> Change<T> {
    match (named, value) {
        (false, _) => Change::Keep,
        (true, None) => Change::Clear,
        (true, Some(value)) => Change::Set(value),
    }
}
