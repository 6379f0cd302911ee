//! Intake, planner, action runner and reconcilers
