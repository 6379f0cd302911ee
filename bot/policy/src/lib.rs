//! Who may do what: roles, Cedar policies, key files, approval rules
