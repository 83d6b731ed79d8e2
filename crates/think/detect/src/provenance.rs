//! Who is allowed to be here: judges of the inventory.

pub(crate) mod ghost;

pub(crate) mod unapproved_image;
