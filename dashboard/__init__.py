"""The Streamlit dashboard, a process of its own."""
