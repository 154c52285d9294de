"""Raw lines to page views, clicks and labelled page views, in Spark."""
