from django.urls import path
from part import views

urlpatterns = [
    path("health/", views.health),
    path("ping", views.ping),
    path("api/part/count", views.count),
]
