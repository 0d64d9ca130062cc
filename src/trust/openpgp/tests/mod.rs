mod clearsigned;
mod detached;
mod fixture;
mod foreign;
mod rfc;
