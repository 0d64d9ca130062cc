mod clearsigned;
mod detached;
mod fixture;
mod foreign;
mod old_form;
mod rfc;
